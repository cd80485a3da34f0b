#include "virgil/format/parameter_io.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "support/temporary_directory.h"
#include "support/unsynced_file_system.h"
#include "support/user_error.h"

namespace virgil {
namespace {

using test_support::TemporaryDirectory;
using test_support::UnsyncedFileSystem;

// 64 numbers of a byte and a float32 scale, seen as 17 numbers of four bytes.
constexpr StorageType kQuantized{"int8", DType::kInt32, 64, 17};

MemoryPlan plan_with_states(Backend& backend, std::int64_t processes) {
  std::vector<ParameterGroup> groups = default_groups();
  for (ParameterGroup& group : groups) group.optimizer.states = {{"q", kQuantized}, {"v", DType::kBFloat16}};
  return {trainable({.num_layers = 2, .num_heads = 3, .embedding_dim = 24, .block_size = 10, .vocab_size = 65}),
          {.step = StepShape{.batch_size = 1, .length = 8},
           .parallel = {.processes = processes, .zero_stage = 1},
           .groups = groups},
          backend.traits()};
}

class OptimizerStates : public testing::Test {
 protected:
  /// Every byte of a state is a function of its place.
  OptimizerStates() {
    std::vector<TensorSource> sources;
    for (const PlannedState& state : plan_.states()) {
      const std::span<std::byte> bytes = memory_.bytes(state.slot);
      for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 2654435761U >> 20U);
      const FlatTensor flat = memory_.flat(plan_, state.slot, 0);
      const auto read = [this, flat](std::span<std::byte> dst, std::int64_t first) {
        backend_->copy_to_host(dst, flat.slice(first, std::ssize(dst) / size_of(flat.view().dtype())));
      };
      std::ranges::move(state_sources(plan_.parameters(), state, read), std::back_inserter(sources));
    }
    UnsyncedFileSystem files;
    write_safetensors(files, path_, sources, {});
  }

  TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "optimizer.safetensors";
  std::unique_ptr<Backend> backend_ = make_cpu_backend({.num_threads = 1});
  MemoryPlan plan_ = plan_with_states(*backend_, 1);
  PlannedMemory memory_{plan_, backend_->memory()};
};

TEST_F(OptimizerStates, InBlocksAreStoredAsTheirUnits) {
  const SafetensorsFile file(path_);
  const ParameterSpec& spec = plan_.parameters().find("transformer.wte.weight");
  const SafetensorsFile::Entry* blocks = file.find("q.transformer.wte.weight");
  ASSERT_NE(blocks, nullptr);
  EXPECT_EQ(blocks->dtype_name, "I32");
  EXPECT_EQ(blocks->shape, (Shape{kQuantized.units_for(65 * 24)}));  // without the vocabulary's padding
  const std::span<std::byte> bytes = memory_.bytes(plan_.states()[0].slot);
  EXPECT_TRUE(std::ranges::equal(
      blocks->bytes, bytes.subspan(static_cast<std::size_t>(kQuantized.bytes_for(spec.offset)), blocks->bytes.size())));
  const SafetensorsFile::Entry* plain = file.find("v.transformer.wte.weight");
  ASSERT_NE(plain, nullptr);
  EXPECT_EQ(plain->dtype_name, "BF16");
  EXPECT_EQ(plain->shape, (Shape{65, 24}));
}

TEST_F(OptimizerStates, ComeBackOnAnyNumberOfRanks) {
  const SafetensorsFile file(path_);
  for (const std::int64_t processes : {1, 3}) {
    for (std::int64_t rank = 0; rank < processes; ++rank) {
      const MemoryPlan plan = plan_with_states(*backend_, processes);
      const PlannedMemory memory(plan, backend_->memory());
      for (const PlannedState& state : plan.states()) {
        const FlatTensor flat = memory.flat(plan, state.slot, rank);
        load_state(*backend_, plan.parameters(), file, state, flat);
        for (const ParameterSpec& spec : plan.parameters().parameters()) {
          const SafetensorsFile::Entry* entry = file.find(state.stored_name(spec));
          ASSERT_NE(entry, nullptr);
          const std::int64_t unit_bytes = size_of(flat.view().dtype());
          const std::int64_t begin = flat.units(spec.offset);
          flat.for_each_piece(begin, std::ssize(entry->bytes) / unit_bytes, [&](std::int64_t first, TensorView piece) {
            std::vector<std::byte> loaded(static_cast<std::size_t>(piece.size_bytes()));
            backend_->copy_to_host(loaded, piece);
            const auto stored = entry->bytes.subspan(static_cast<std::size_t>((first - begin) * unit_bytes), loaded.size());
            EXPECT_TRUE(std::ranges::equal(loaded, stored)) << entry->name << " on rank " << rank << " of " << processes;
          });
        }
      }
    }
  }
}

TEST_F(OptimizerStates, OfAnotherStorageAreRefused) {
  const SafetensorsFile file(path_);
  PlannedState state = plan_.states()[1];
  state.extent.storage = DType::kFloat32;
  EXPECT_THAT(test_support::user_error_of([&] {
                load_state(*backend_, plan_.parameters(), file, state, memory_.flat(plan_, PlanSlot::kGradients, 0));
              }),
              testing::HasSubstr("v.transformer.wte.weight is BF16 (65, 24), the model needs F32 (65, 24)"));
}

}  // namespace
}  // namespace virgil
