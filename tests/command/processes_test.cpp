// What calc_params plans for each of several processes, held against runs whose ranks are threads.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "support/temporary_directory.h"
#include "support/thread_group.h"
#include "train/tiny_run.h"
#include "virgil/base/logging.h"
#include "virgil/command/calc_params.h"
#include "virgil/report/verify.h"
#include "virgil/train/run_folder.h"
#include "virgil/train/training_run.h"

namespace virgil {
namespace {

/// A run of two steps; what each rank held at its end.
std::vector<RankStep> train_in_ranks(const TrainConfig& config, int num_ranks) {
  test_support::write_all(config.input.front(), test_support::tiny_text());
  CommandLine command_line;
  command_line.config = config;
  std::vector<RankStep> ranks;
  test_support::run_ranks(num_ranks, [&](ProcessGroup& group) {
    test_support::UnsyncedFileSystem files;
    test_support::RecordingSink sink;
    static_cast<void>(run_training(
        command_line, files, sink, [] { return false; }, group));
    if (group.is_root()) ranks = sink.steps.back().ranks;
  });
  return ranks;
}

class PlansOfProcesses : public testing::TestWithParam<std::tuple<int, const char*>> {};

TEST_P(PlansOfProcesses, AreWhatEveryRankAllocates) {
  const auto& [zero_stage, dtype] = GetParam();
  constexpr int kRanks = 3;
  const test_support::TemporaryDirectory folder;
  TrainConfig config = test_support::tiny_config(folder.path());
  config.device = "cpu";
  config.dtype = dtype;
  config.zero_stage = zero_stage;
  config.max_iters = config.lr_decay_iters = 3;
  const std::vector<RankStep> ranks = train_in_ranks(config, kRanks);

  const RunComparison run = compare_run(run_folder(config));
  EXPECT_TRUE(run.memory.planned == run.memory.allocated) << describe_run_comparison(run);

  const std::string file = (folder.path() / "config.json").string();
  test_support::write_all(file, config_to_json(config));
  std::istringstream in;
  std::ostringstream out;
  NullLogger log;
  const std::vector<std::string> arguments = {"--config", file, "--vocab_size", "40", "--processes", "3", "--json"};
  EXPECT_EQ(run_calc_params(arguments, in, out, log), 0);
  const nlohmann::json plan = nlohmann::json::parse(out.str()).at("plan");
  ASSERT_EQ(std::ssize(ranks), kRanks);
  for (const RankStep& rank : ranks) EXPECT_EQ(plan.at("total_bytes"), rank.allocated_bytes);
  for (const MemoryCategory category : kAllMemoryCategories) {
    EXPECT_EQ(plan.at("by_category").at(std::string(name_of(category))), run.memory.allocated[category]) << name_of(category);
  }
}

INSTANTIATE_TEST_SUITE_P(Stages, PlansOfProcesses,
                         testing::Combine(testing::Values(0, 1, 2), testing::Values("float32", "bfloat16")));

}  // namespace
}  // namespace virgil
