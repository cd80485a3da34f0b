#include "virgil/plan/run_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>

#include "support/user_error.h"
#include "virgil/config/program_name.h"
#include "virgil/plan/catalogue.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int64_t kGib = std::int64_t{1} << 30;

Machine machine_with(std::int64_t free_bytes) {
  Machine machine = any_machine();
  machine.free_bytes = free_bytes;
  machine.free_source = "free on this machine";
  return machine;
}

TEST(MemoryBudget, IsTheSmallerOfMaxMemoryAndWhatIsFree) {
  TrainConfig config;
  const Machine machine = machine_with(20 * kGib);
  EXPECT_EQ(memory_budget(config, machine).limit_bytes, 20 * kGib);
  EXPECT_EQ(memory_budget(config, machine).aim_bytes, 19 * kGib);
  EXPECT_EQ(memory_budget(config, machine).source, "free on this machine");

  config.max_memory = "500GB";
  const MemoryBudget beyond = memory_budget(config, machine);
  EXPECT_EQ(beyond.limit_bytes, 20 * kGib) << "nobody has memory because he names it";
  EXPECT_EQ(beyond.aim_bytes, 19 * kGib);
  EXPECT_THAT(beyond.source, AllOf(HasSubstr("free on this machine"), HasSubstr("500GB")));

  config.max_memory = "12GiB";
  const MemoryBudget within = memory_budget(config, machine);
  EXPECT_EQ(within.limit_bytes, 12 * kGib);
  EXPECT_EQ(within.aim_bytes, 12 * kGib) << "of the plan alone; the rest of the machine is for code and libraries";
  EXPECT_EQ(within.source, "max_memory is 12GiB");
}

TEST(MachineOfAGpu, HasWhatTheCudaBackendWouldTell) {
  const Machine t4 = machine_of(*find_gpu("T4"));
  EXPECT_THAT(t4.dtypes, ElementsAre(DType::kFloat16, DType::kFloat32)) << "no bfloat16 before 8.0";
  EXPECT_TRUE(t4.is_gpu);
  EXPECT_EQ(t4.traits->logits_chunk().size_bytes, std::int64_t{256} << 20);
  EXPECT_EQ(t4.free_source, "T4");
  EXPECT_EQ(machine_of(*find_gpu("GTX 1650")).dtypes.front(), DType::kFloat16);
  for (const char* name : {"RTX 3060", "A100", "RTX 4090", "H200", "RTX 5090"}) {
    EXPECT_EQ(machine_of(*find_gpu(name)).dtypes.front(), DType::kBFloat16) << name;
  }
  EXPECT_EQ(machine_of(*find_gpu("A100"), 8).communicator, CommunicatorKind::kNccl);
}

TEST(MachineOfAGpu, IsRefusedByNameWhereTheKernelsDoNotRun) {
  for (const char* name : {"V100", "V100 32GB", "GTX 1080 Ti"}) {
    EXPECT_THAT(user_error_of([&] { static_cast<void>(machine_of(*find_gpu(name))); }),
                AllOf(HasSubstr(find_gpu(name)->name), HasSubstr("7.5"), HasSubstr("compute capability")));
  }
}

TEST(MachineOfABackend, IsSharedByTheProcessesOnIt) {
  const auto cpu = make_cpu_backend({.num_threads = 1});
  const Machine machine = machine_of(*cpu, 4, 2);
  EXPECT_EQ(machine.processes, 4);
  EXPECT_EQ(machine.communicator, CommunicatorKind::kMpi);
  EXPECT_THAT(machine.free_source, HasSubstr("shared by 2 processes"));
  EXPECT_EQ(machine.traits.get(), &cpu->traits());
}

TEST(RunPlan, FillsInWhatAutoStandsFor) {
  TrainConfig config;
  config.n_layer = 2;
  config.n_head = 2;
  config.n_embd = 64;
  config.block_size = 64;
  config.batch_size = 0;
  resolve_config(config);
  const Architecture model{.num_layers = 2, .num_heads = 2, .embedding_dim = 64, .block_size = 64, .vocab_size = 500};
  const Machine machine = machine_with(kGib);
  config.max_memory = "40MB";
  const MemoryBudget budget = memory_budget(config, machine);
  const RunPlan plan = plan_run(config, model, machine, budget);
  EXPECT_EQ(plan.config.dtype, "bfloat16");
  EXPECT_EQ(plan.shape.dtype, DType::kBFloat16);
  EXPECT_GT(plan.config.batch_size, 1);
  EXPECT_LE(plan.memory.total_bytes(), budget.aim_bytes);
  EXPECT_EQ(plan.memory.total_bytes(), plan_training(plan.shape, *machine.traits).total_bytes());
}

TEST(ProgramName, IsAsTheUserStartedIt) {
  EXPECT_EQ(train_command(program_folder("train"), 1), "train");
  EXPECT_EQ(train_command(program_folder("build/calc_params"), 1), "build/train");
  EXPECT_EQ(train_command(program_folder("./train"), 4), "mpirun -n 4 ./train");
  EXPECT_EQ(program_command(program_folder("/opt/my programs/train"), "generate"), "'/opt/my programs/generate'");
}

}  // namespace
}  // namespace virgil
