#include "virgil/model/memory_plan.h"

#include <gtest/gtest.h>

#include <map>

#include "support/address_resource.h"
#include "support/fake_traits.h"
#include "support/random_model.h"
#include "virgil/base/error.h"
#include "virgil/memory/tracking_resource.h"
#include "virgil/model/inference_plan.h"

namespace virgil {
namespace {

using test_support::AddressResource;
using test_support::FakeTraits;
using test_support::RandomModel;

Architecture small_config() {
  return trainable({.num_layers = 2, .num_heads = 2, .embedding_dim = 32, .block_size = 64, .vocab_size = 65});
}

constexpr StepShape kPlannedStep{.batch_size = 4, .length = 64};
constexpr DecodeShape kDecode{.num_sequences = 2, .max_length = 64};

std::map<PlanSlot, PlanItem> items_of(const MemoryPlan& plan) {
  std::map<PlanSlot, PlanItem> items;
  for (const PlanItem& item : plan.items()) EXPECT_TRUE(items.emplace(item.slot, item).second) << item.name;
  return items;
}

TEST(MemoryPlan, OfInferenceHasCachesOfTheContextAskedFor) {
  const auto caches = [](std::int64_t context) {
    return plan_inference(small_config(), {.num_sequences = 3, .context = context}, FakeTraits{}).decoder().cache_bytes();
  };
  EXPECT_EQ(caches(16), 2 * 2 * 3 * 16 * 32 * 4) << "keys and values of 2 layers, 3 sequences of 16 positions of 32 floats";
  EXPECT_EQ(caches(0), caches(64)) << "of block_size where nobody says";
}

TEST(MemoryPlan, PlannedBytesAreAllocatedBytesForRandomModels) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    RandomModel model(seed);
    PlanRequest request;
    const std::int64_t kind = model.between(0, 3);
    if (kind != 0) request.step = model.step;
    if (kind < 2)
      request.decode =
          DecodeShape{.num_sequences = model.between(1, 4), .max_length = model.step.length, .dtype = model.step.dtype};
    FakeTraits traits;
    traits.alignment = 64 << model.between(0, 3);
    traits.attention_forward = model.between(0, 100000);
    traits.matmul = [](const MatmulShape& shape) { return shape.m + shape.n * shape.k; };
    const MemoryPlan plan(trainable(model.sizes), request, traits);

    AddressResource addresses;
    TrackingResource tracker(addresses);
    {
      const PlannedMemory memory(plan, tracker);
      EXPECT_EQ(tracker.current(), plan.by_category()) << "seed " << seed << "\n" << tracker.describe();
      EXPECT_EQ(tracker.peak_bytes(), plan.total_bytes()) << "seed " << seed;
      for (const PlanItem& item : plan.items()) {
        EXPECT_EQ(static_cast<std::int64_t>(memory.bytes(item.slot).size()), item.size_bytes) << item.name;
        EXPECT_EQ(item.size_bytes % traits.alignment, 0) << item.name;
      }
    }
    EXPECT_EQ(tracker.current(), BytesByCategory{}) << "seed " << seed;
  }
}

TEST(MemoryPlan, HoldsWhatATrainingStepNeeds) {
  const MemoryPlan plan(small_config(), {.step = kPlannedStep}, FakeTraits{});
  const auto items = items_of(plan);
  const std::int64_t flat_bytes = plan.parameters().flat_elements() * 4;
  for (const PlanSlot slot : {PlanSlot::kWeights, PlanSlot::kGradients, state_slot(0), state_slot(1)}) {
    EXPECT_EQ(items.at(slot).size_bytes, flat_bytes);
  }
  EXPECT_EQ(items.at(PlanSlot::kActivations).size_bytes, plan.activations().arena_bytes());
  EXPECT_EQ(items.at(PlanSlot::kLogits).size_bytes, plan.logits_rows() * 128 * 4);
  for (const PlanSlot slot : {PlanSlot::kLosses, PlanSlot::kInputs, PlanSlot::kTargets}) {
    EXPECT_EQ(items.at(slot).size_bytes, 4 * 64 * 4);
  }
  EXPECT_EQ(plan.by_category()[MemoryCategory::kOptimizer], 2 * flat_bytes);
  EXPECT_EQ(plan.by_category()[MemoryCategory::kMasterWeights], 0);
}

TEST(MemoryPlan, BFloat16KeepsMasterWeightsAndGradientsInFloat32) {
  StepShape step = kPlannedStep;
  step.dtype = DType::kBFloat16;
  const MemoryPlan plan(small_config(), {.step = step}, FakeTraits{});
  const auto items = items_of(plan);
  const std::int64_t flat = plan.parameters().flat_elements();
  EXPECT_EQ(items.at(PlanSlot::kWeights).size_bytes, flat * 2);
  for (const PlanSlot slot : {PlanSlot::kMasterWeights, PlanSlot::kGradients, state_slot(0), state_slot(1)}) {
    EXPECT_EQ(items.at(slot).size_bytes, flat * 4);
  }
  EXPECT_EQ(plan.by_category()[MemoryCategory::kMasterWeights], flat * 4);
  EXPECT_EQ(items.at(PlanSlot::kLogits).size_bytes, plan.logits_rows() * 128 * 2);
  EXPECT_EQ(plan.master_slot(), PlanSlot::kMasterWeights);
  EXPECT_LT(plan.activations().arena_bytes(),
            MemoryPlan(small_config(), {.step = kPlannedStep}, FakeTraits{}).activations().arena_bytes());

  step.training = false;
  const MemoryPlan evaluation(small_config(), {.step = step}, FakeTraits{});
  EXPECT_FALSE(items_of(evaluation).contains(PlanSlot::kMasterWeights));
  EXPECT_EQ(evaluation.master_slot(), PlanSlot::kWeights);
}

TEST(MemoryPlan, WithoutMasterWeightsBFloat16IsAllThereIs) {
  StepShape step = kPlannedStep;
  step.dtype = DType::kBFloat16;
  const MemoryPlan with(small_config(), {.step = step}, FakeTraits{});
  step.master_weights = false;
  const MemoryPlan plan(small_config(), {.step = step}, FakeTraits{});
  EXPECT_FALSE(items_of(plan).contains(PlanSlot::kMasterWeights));
  EXPECT_EQ(plan.by_category()[MemoryCategory::kMasterWeights], 0);
  EXPECT_EQ(with.total_bytes() - plan.total_bytes(), with.by_category()[MemoryCategory::kMasterWeights]);
  EXPECT_EQ(plan.master_slot(), PlanSlot::kWeights);
  EXPECT_EQ(plan.master_dtype(), DType::kBFloat16);
  EXPECT_EQ(with.master_dtype(), DType::kFloat32);

  step.dtype = DType::kFloat32;  // which has no copy either way
  EXPECT_EQ(MemoryPlan(small_config(), {.step = step}, FakeTraits{}).total_bytes(),
            MemoryPlan(small_config(), {.step = kPlannedStep}, FakeTraits{}).total_bytes());
  step.dtype = DType::kFloat16;
  EXPECT_THROW(MemoryPlan(small_config(), {.step = step}, FakeTraits{}), InternalError);
}

TEST(MemoryPlan, MomentsInBFloat16TakeHalf) {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    StepShape step = kPlannedStep;
    step.dtype = dtype;
    step.optimizer_state_dtype = DType::kBFloat16;
    const MemoryPlan plan(small_config(), {.step = step}, FakeTraits{});
    EXPECT_EQ(plan.by_category()[MemoryCategory::kOptimizer], 2 * 2 * plan.parameters().flat_elements());
  }
}

TEST(MemoryPlan, RefusesAStepAndGenerationInTwoTypes) {
  DecodeShape decode = kDecode;
  decode.dtype = DType::kBFloat16;
  EXPECT_THROW(MemoryPlan(small_config(), {.step = kPlannedStep, .decode = decode}, FakeTraits{}), InternalError);
}

TEST(MemoryPlan, EvaluationHasNoGradientsAndNoOptimizer) {
  StepShape step = kPlannedStep;
  step.training = false;
  const MemoryPlan plan(small_config(), {.step = step}, FakeTraits{});
  const auto items = items_of(plan);
  EXPECT_FALSE(items.contains(PlanSlot::kGradients));
  EXPECT_FALSE(items.contains(state_slot(0)));
  EXPECT_LT(plan.total_bytes(), MemoryPlan(small_config(), {.step = kPlannedStep}, FakeTraits{}).total_bytes());
}

TEST(MemoryPlan, GenerationAloneHasNoStep) {
  const MemoryPlan plan(small_config(), {.decode = kDecode}, FakeTraits{});
  EXPECT_EQ(items_of(plan).at(PlanSlot::kActivations).size_bytes, plan.decoder().arena_bytes());
  EXPECT_THROW((void)plan.step(), InternalError);
  EXPECT_THROW((void)plan.activations(), InternalError);
  EXPECT_THROW((void)MemoryPlan(small_config(), {.step = kPlannedStep}, FakeTraits{}).decoder(), InternalError);
}

TEST(MemoryPlan, GenerationBorrowsTheArenaOfTheStep) {
  const MemoryPlan step(small_config(), {.step = kPlannedStep}, FakeTraits{});
  const MemoryPlan both(small_config(), {.step = kPlannedStep, .decode = kDecode}, FakeTraits{});
  ASSERT_LT(both.decoder().arena_bytes(), step.activations().arena_bytes());
  EXPECT_EQ(both.total_bytes(), step.total_bytes());
  // A step so small that generation needs more: the arena grows to the larger, not to the sum.
  const MemoryPlan small(small_config(), {.step = StepShape{.batch_size = 1, .length = 1}, .decode = kDecode}, FakeTraits{});
  ASSERT_GT(small.decoder().arena_bytes(), small.activations().arena_bytes());
  EXPECT_EQ(items_of(small).at(PlanSlot::kActivations).size_bytes, small.decoder().arena_bytes());
}

TEST(MemoryPlan, LogitsOfTheWholeBatchNeverExist) {
  const Architecture config =
      trainable({.num_layers = 1, .num_heads = 1, .embedding_dim = 64, .block_size = 1024, .vocab_size = 50257});
  const MemoryPlan plan(config, {.step = StepShape{.batch_size = 24, .length = 1024}}, FakeTraits{});
  const std::int64_t chunk_bytes = plan.logits_rows() * 50304 * 4;
  EXPECT_LE(chunk_bytes, std::int64_t{64} << 20);
  EXPECT_GE(chunk_bytes, std::int64_t{32} << 20);
  EXPECT_EQ(items_of(plan).at(PlanSlot::kLogits).size_bytes, chunk_bytes);
}

TEST(MemoryPlan, ChunksOfLogitsAreWhatTheBackendWants) {
  const Architecture config =
      trainable({.num_layers = 1, .num_heads = 1, .embedding_dim = 64, .block_size = 1024, .vocab_size = 50257});
  FakeTraits traits;
  const auto rows = [&](std::int64_t batch) {
    return choose_logits_rows(config, StepShape{.batch_size = batch, .length = 1024}, traits);
  };
  // 64 MiB hold 333 rows of 201,216 bytes, 256 MiB 1,334 of them.
  EXPECT_EQ(rows(24), 333);  // 74 chunks, the last smaller
  traits.chunk = {.size_bytes = std::int64_t{256} << 20};
  EXPECT_EQ(rows(24), 1294);  // 19 chunks
  traits.chunk.row_multiple = 128;
  EXPECT_EQ(rows(24), 1024);  // 24 chunks: of 19 to 23 none is a multiple of 128
  EXPECT_EQ(rows(20), 1280);  // 16 chunks
  EXPECT_EQ(rows(1), 1024);
  traits.chunk.size_bytes = 1 << 20;
  EXPECT_EQ(rows(24), 256);  // the fewest
  const StepShape odd{.batch_size = 3, .length = 1001};
  traits.chunk.size_bytes = std::int64_t{256} << 20;
  EXPECT_EQ(choose_logits_rows(config, odd, traits), 1001);  // no number of chunks gives multiples of 128
}

TEST(MemoryPlan, ChunksOfLogitsCoverAnyNumberOfRows) {
  for (std::int64_t batch = 1; batch < 40; ++batch) {
    const Architecture config =
        trainable({.num_layers = 1, .num_heads = 1, .embedding_dim = 8, .block_size = 97, .vocab_size = 60000});
    const MemoryPlan plan(config, {.step = StepShape{.batch_size = batch, .length = 97}}, FakeTraits{});
    EXPECT_GE(plan.logits_rows(), 1);
    EXPECT_LE(plan.logits_rows(), batch * 97);
  }
}

/// Workspace of a plan over traits in which one op alone asks for scratch.
template <typename Set>
std::int64_t workspace_with(const PlanRequest& request, Set&& set, const Architecture& config = small_config()) {
  FakeTraits traits;
  set(traits);
  return items_of(MemoryPlan(config, request, traits)).at(PlanSlot::kWorkspace).size_bytes;
}

TEST(MemoryPlan, WorkspaceIsTheLargestAnyOpAsksFor) {
  constexpr std::int64_t kBytes = 12800;
  const PlanRequest training{.step = kPlannedStep};
  const PlanRequest decoding{.decode = kDecode};
  PlanRequest evaluation{.step = kPlannedStep};
  evaluation.step->training = false;
  const auto forward = [](FakeTraits& traits) { traits.attention_forward = kBytes; };
  EXPECT_EQ(workspace_with(training, forward), kBytes);
  EXPECT_EQ(workspace_with(evaluation, forward), kBytes);
  EXPECT_EQ(workspace_with(decoding, forward), 0);
  const auto decode = [](FakeTraits& traits) { traits.attention_decode = kBytes; };
  EXPECT_EQ(workspace_with(decoding, decode), kBytes);
  EXPECT_EQ(workspace_with(training, decode), 0);
  for (const auto member : {&FakeTraits::attention_backward, &FakeTraits::norm_backward, &FakeTraits::embedding_backward}) {
    const auto backward = [&](FakeTraits& traits) { traits.*member = kBytes; };
    EXPECT_EQ(workspace_with(training, backward), kBytes);
    EXPECT_EQ(workspace_with(evaluation, backward), 0);
  }
  const auto bias = [](FakeTraits& traits) { traits.bias_backward = kBytes; };
  Architecture sizes = small_config();
  EXPECT_EQ(workspace_with(training, bias), 0) << "a model without biases";
  sizes.biases = kAllBiases;
  EXPECT_EQ(workspace_with(training, bias, trainable(sizes)), kBytes);
  EXPECT_EQ(workspace_with(evaluation, bias, trainable(sizes)), 0);
  const auto all = [](FakeTraits& traits) {
    traits.attention_forward = 128;
    traits.norm_backward = kBytes;
    traits.bias_backward = 64;
  };
  EXPECT_EQ(workspace_with(training, all), kBytes);
}

TEST(MemoryPlan, WorkspaceServesReductionsOverAllParameters) {
  const ParameterLayout layout(small_config());
  const auto identity = [](FakeTraits& traits) { traits.reduction = [](std::int64_t elements) { return elements; }; };
  EXPECT_EQ(workspace_with({.step = kPlannedStep}, identity), layout.flat_elements());
}

TEST(MemoryPlan, ChunksOfLogitsAreAsLargeAsAsked) {
  StepShape step = kPlannedStep;  // 4 x 64 rows
  for (const auto& [asked, rows] : {std::pair{1, 1}, {100, 86}, {128, 128}, {256, 256}, {1000, 256}}) {
    step.logits_chunk = asked;
    EXPECT_EQ(MemoryPlan(small_config(), {.step = step}, FakeTraits{}).logits_rows(), rows) << asked;
    EXPECT_EQ(choose_logits_rows(small_config(), step, FakeTraits{}), rows) << asked;
  }
}

TEST(MemoryPlan, HoldsASumOfLossesForEachMicroStep) {
  StepShape step = kPlannedStep;
  // Beside them the last pass's sum and the norm; all are float32, and the alignment is 64 bytes.
  for (const auto& [micro_steps, bytes] : {std::pair{1, 64}, {14, 64}, {15, 128}, {1000, 4032}}) {
    step.micro_steps = micro_steps;
    const MemoryPlan plan(small_config(), {.step = step}, FakeTraits{});
    EXPECT_EQ(items_of(plan).at(PlanSlot::kScalars).size_bytes, bytes) << micro_steps;
    HostMemoryResource host;
    const PlannedMemory memory(plan, host);
    EXPECT_EQ(memory.micro_step_losses(micro_steps).num_elements(), micro_steps);
    const auto* behind_scalars = static_cast<const float*>(memory.scalar(PlanScalar::kGradientNorm).data()) + 1;
    EXPECT_EQ(memory.micro_step_losses(micro_steps).data(), behind_scalars);
  }
}

TEST(MemoryPlan, RefusesABatchThatOverflows) {
  const StepShape step{.batch_size = std::int64_t{1} << 60, .length = 64};
  EXPECT_THROW(MemoryPlan(small_config(), {.step = step}, FakeTraits{}), UserError);
}

TEST(PlannedMemory, ViewsStayInsideTheirSlot) {
  const MemoryPlan plan(small_config(), {.step = kPlannedStep}, FakeTraits{});
  HostMemoryResource host;
  const PlannedMemory memory(plan, host);
  const TensorView tokens = memory.view(PlanSlot::kInputs, 0, DType::kInt32, {4, 64});
  EXPECT_EQ(tokens.data(), memory.bytes(PlanSlot::kInputs).data());
  EXPECT_EQ(tokens.shape(), (Shape{4, 64}));
  EXPECT_THROW((void)memory.view(PlanSlot::kInputs, 4, DType::kInt32, {4, 64}), InternalError);
  EXPECT_THROW((void)memory.view(PlanSlot::kInputs, -4, DType::kInt32, {1}), InternalError);
  EXPECT_THROW((void)memory.view(PlanSlot::kInputs, 0, DType::kInt32, {5, 64}), InternalError);
}

TEST(PlannedMemory, HasNoSlotThatIsNotPlanned) {
  const MemoryPlan plan(small_config(), {.decode = kDecode}, FakeTraits{});
  HostMemoryResource host;
  const PlannedMemory memory(plan, host);
  EXPECT_THROW((void)memory.bytes(PlanSlot::kGradients), InternalError);
}

}  // namespace
}  // namespace virgil
