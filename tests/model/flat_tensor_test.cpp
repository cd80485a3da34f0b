#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "support/fake_traits.h"
#include "virgil/base/error.h"
#include "virgil/model/memory_plan.h"

namespace virgil {
namespace {

using test_support::FakeTraits;

// 64 numbers of a byte and a float32 scale, seen as 17 numbers of four bytes.
constexpr StorageType kByteBlocks{"int8", DType::kInt32, 64, 17};
constexpr StorageType kScales{"scales", DType::kFloat32, 64, 1};

Architecture flat_model() {
  return trainable(
      {.num_layers = 2, .num_heads = 3, .embedding_dim = 24, .block_size = 10, .vocab_size = 65, .biases = kAllBiases});
}

/// An optimizer with one state in blocks and one with a number for each of them.
std::vector<ParameterGroup> groups_with_blocks() {
  std::vector<ParameterGroup> groups = default_groups();
  for (ParameterGroup& group : groups) group.optimizer.states = {{"codes", kByteBlocks}, {"scale", kScales}};
  return groups;
}

MemoryPlan plan_with_blocks(const DataParallel& parallel) {
  return {flat_model(),
          {.step = StepShape{.batch_size = 1, .length = 8}, .parallel = parallel, .groups = groups_with_blocks()},
          FakeTraits{}};
}

TEST(FlatTensor, ThePlanCountsBlocks) {
  for (const std::int64_t processes : {1, 3}) {
    const MemoryPlan plan = plan_with_blocks({.processes = processes, .zero_stage = 1});
    const std::int64_t part = plan.parameters().flat_elements() / processes;
    ASSERT_EQ(plan.states().size(), 2U);
    std::map<std::string, std::int64_t> bytes;
    for (const PlanItem& item : plan.items()) bytes[item.name] = item.size_bytes;
    EXPECT_EQ(bytes.at("adamw.codes"), round_up(part / 64 * 68, 64));
    EXPECT_EQ(bytes.at("adamw.scale"), round_up(part / 64 * 4, 64));
    EXPECT_EQ(plan.by_category()[MemoryCategory::kOptimizer], bytes.at("adamw.codes") + bytes.at("adamw.scale"));
  }
}

TEST(FlatTensor, PartsOfBlocksAreThoseOfTheWhole) {
  constexpr std::int64_t kProcesses = 3;
  const ParameterLayout layout(flat_model(), kProcesses, groups_with_blocks());
  const FlatExtent extent{.num_elements = layout.flat_elements(), .storage = kByteBlocks};
  std::vector<std::int32_t> numbers(static_cast<std::size_t>(kByteBlocks.units_for(layout.flat_elements())));
  std::iota(numbers.begin(), numbers.end(), 0);
  const FlatTensor whole = FlatTensor::whole(layout, extent, TensorView(numbers.data(), DType::kInt32, {std::ssize(numbers)}));
  for (std::int64_t rank = 0; rank < kProcesses; ++rank) {
    std::vector<std::int32_t> mine;
    for (std::size_t bucket = 0; bucket < layout.buckets().size(); ++bucket) {
      const TensorView part = whole.part_of_bucket(bucket, rank);
      mine.insert(mine.end(), part.as<std::int32_t>(), part.as<std::int32_t>() + part.num_elements());
    }
    const FlatTensor part = FlatTensor::part(layout, extent, TensorView(mine.data(), DType::kInt32, {std::ssize(mine)}), rank);
    std::int64_t seen = 0;
    part.for_each_piece(0, whole.view().num_elements(), [&](std::int64_t first, TensorView piece) {
      seen += piece.num_elements();
      for (std::int64_t i = 0; i < piece.num_elements(); ++i) ASSERT_EQ(piece.as<std::int32_t>()[i], first + i);
      EXPECT_EQ(part.slice(first + 3, 5).as<std::int32_t>()[0], first + 3);
    });
    EXPECT_EQ(seen, std::ssize(mine));
  }
  EXPECT_EQ(whole.slice(17, 2).as<std::int32_t>()[1], 18);
}

TEST(FlatTensor, AnExtentIsARunOfBuckets) {
  constexpr std::int64_t kProcesses = 2;
  const ParameterLayout layout(flat_model(), kProcesses);
  const ParameterRange& vectors = layout.ranges()[1];
  const FlatExtent extent{.first = vectors.offset, .num_elements = vectors.num_elements};
  std::vector<float> values(static_cast<std::size_t>(vectors.num_elements));
  std::iota(values.begin(), values.end(), static_cast<float>(vectors.offset));
  const FlatTensor whole = FlatTensor::whole(layout, extent, TensorView(values.data(), DType::kFloat32, {std::ssize(values)}));
  const ParameterSpec& spec = layout.find("transformer.ln_f.bias");
  EXPECT_EQ(whole.slice(spec.offset, 1).as<float>()[0], static_cast<float>(spec.offset));
  std::vector<float> half(values.size() / 2);
  const FlatTensor part = FlatTensor::part(layout, extent, TensorView(half.data(), DType::kFloat32, {std::ssize(half)}), 1);
  const std::size_t bucket = layout.bucket_of(vectors.offset);
  const TensorView in_whole = whole.part_of_bucket(bucket, 1);
  std::copy_n(in_whole.as<float>(), half.size(), half.begin());
  part.for_each_piece(vectors.offset, vectors.num_elements,
                      [](std::int64_t first, TensorView piece) { EXPECT_EQ(piece.as<float>()[0], static_cast<float>(first)); });
}

TEST(FlatTensor, PartsOfNeuronsAreThoseOfTheWhole) {
  for (const std::int64_t processes : {1, 2, 3, 9}) {  // more than a block has matrices
    const ParameterLayout layout(flat_model(), processes, default_groups(OptimizerKind::kNorMuon));
    const std::vector<PlannedState> states = planned_states(layout);
    const auto v = std::ranges::find(states, StatePer::kNeuron, [](const PlannedState& state) { return state.extent.per; });
    ASSERT_NE(v, states.end());
    EXPECT_EQ(v->extent.num_elements, layout.flat_neurons());
    std::vector<float> values(static_cast<std::size_t>(layout.flat_neurons()));
    std::iota(values.begin(), values.end(), 0.0F);
    const TensorView view(values.data(), DType::kFloat32, {std::ssize(values)});
    const FlatTensor whole = FlatTensor::whole(layout, v->extent, view);
    std::map<std::string, std::int64_t> seen;
    for (std::int64_t rank = 0; rank < processes; ++rank) {
      std::vector<float> mine;
      for (std::size_t bucket = 0; bucket < layout.buckets().size(); ++bucket) {
        if (layout.buckets()[bucket].neurons.count == 0) continue;
        const TensorView part = whole.part_of_bucket(bucket, rank);
        mine.insert(mine.end(), part.as<float>(), part.as<float>() + part.num_elements());
      }
      const FlatTensor part =
          FlatTensor::part(layout, v->extent, TensorView(mine.data(), DType::kFloat32, {std::ssize(mine)}), rank);
      for (const ParameterSpec& spec : layout.parameters()) {
        EXPECT_EQ(v->covers(spec), spec.num_neurons() > 0) << spec.name;
        if (!v->covers(spec)) continue;
        part.for_each_piece(v->extent.place_of(spec), v->extent.units_of(spec), [&](std::int64_t first, TensorView piece) {
          EXPECT_EQ(piece.num_elements(), spec.num_neurons()) << "no tensor lies in two parts";
          EXPECT_EQ(piece.as<float>()[0], static_cast<float>(first));
          // Its neurons are with its elements.
          const ParameterBucket& bucket = layout.buckets()[layout.bucket_of(spec.offset)];
          EXPECT_EQ((spec.offset - bucket.offset) / (bucket.num_elements / processes), rank);
          ++seen[spec.name];
        });
      }
    }
    EXPECT_EQ(seen.size(), 8U);
    for (const auto& [name, times] : seen) EXPECT_EQ(times, 1) << name;
  }
}

TEST(PlannedStates, RefusesNeuronsOfTensorsThatMayBeDivided) {
  std::vector<ParameterGroup> groups = default_groups(OptimizerKind::kNorMuon);
  groups[0].optimizer.shard_rule = ShardRule::kElements;
  EXPECT_THROW((void)planned_states(ParameterLayout(flat_model(), 1, groups)), InternalError);
}

TEST(FlatTensor, RefusesBlocksThatCrossTensors) {
  const ParameterLayout layout(flat_model());
  constexpr StorageType kTooLong{"long", DType::kFloat32, 128, 1};
  std::vector<float> values(static_cast<std::size_t>(kTooLong.units_for(layout.flat_elements())));
  EXPECT_THROW((void)FlatTensor::whole(layout, {.num_elements = layout.flat_elements(), .storage = kTooLong},
                                       TensorView(values.data(), DType::kFloat32, {std::ssize(values)})),
               InternalError);
}

TEST(PlannedStates, OfOneOptimizerAreOneRunWhateverTheGroups) {
  std::vector<ParameterGroup> groups = default_groups();
  groups.insert(groups.begin(), {.name = "attention", .patterns = {"*.attn.*"}});
  const ParameterLayout layout(flat_model(), 2, groups);
  const std::vector<PlannedState> states = planned_states(layout);
  ASSERT_EQ(states.size(), 2U);
  for (const PlannedState& state : states) {
    EXPECT_EQ(state.extent.first, 0);
    EXPECT_EQ(state.extent.num_elements, layout.flat_elements());
    for (const ParameterSpec& spec : layout.parameters()) EXPECT_TRUE(state.covers(spec));
  }
  EXPECT_EQ(states[1].stored_name(layout.find("transformer.wte.weight")), "v.transformer.wte.weight");
  groups[0].optimizer = traits_of(OptimizerKind::kAdamW, DType::kBFloat16);
  EXPECT_THROW((void)planned_states(ParameterLayout(flat_model(), 2, groups)), InternalError);
}

}  // namespace
}  // namespace virgil
