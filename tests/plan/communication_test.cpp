#include "virgil/plan/communication.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace virgil {
namespace {

// 512 rows of 64 and 64 positions are 36,864 elements; each of two layers' matrices 12 * 64^2 = 49,152; five norms of 64 are
// padded from 320 to 512, which four parts of 64's multiples divide: 135,680 in all, of which three quarters are sent.
constexpr std::int64_t kSent = (36864 + 2 * 49152 + 512) / 4 * 3;

TrainingShape shape_of(int zero_stage, DType wire, DType dtype) {
  return {.model = {.num_layers = 2, .num_heads = 2, .embedding_dim = 64, .block_size = 64, .vocab_size = 500},
          .batch_size = 2,
          .grad_accum_steps = 3,
          .dtype = dtype,
          .parallel = {.processes = 4, .zero_stage = zero_stage, .wire = wire}};
}

TEST(CommunicationVolume, IsNothingInOneProcess) {
  TrainingShape shape = shape_of(1, DType::kFloat32, DType::kBFloat16);
  shape.parallel.processes = 1;
  EXPECT_EQ(communication_volume(shape).total_bytes(), 0);
}

TEST(CommunicationVolume, OfStage0IsSummandsAndSums) {
  const CommunicationVolume whole = communication_volume(shape_of(0, DType::kFloat32, DType::kBFloat16));
  EXPECT_EQ(whole.gradient_bytes, kSent * (4 + 4));
  EXPECT_EQ(whole.weight_bytes, 0);
  EXPECT_EQ(communication_volume(shape_of(0, DType::kBFloat16, DType::kBFloat16)).gradient_bytes, kSent * (2 + 4));
}

TEST(CommunicationVolume, OfStage1IsSummandsAndWeights) {
  const CommunicationVolume half = communication_volume(shape_of(1, DType::kBFloat16, DType::kBFloat16));
  EXPECT_EQ(half.gradient_bytes, kSent * 2);
  EXPECT_EQ(half.weight_bytes, kSent * 2);
  EXPECT_EQ(communication_volume(shape_of(1, DType::kFloat32, DType::kFloat32)).total_bytes(), kSent * (4 + 4));
}

TEST(CommunicationVolume, OfStage2IsSummandsOfEveryMicroStepAndWeights) {
  const CommunicationVolume volume = communication_volume(shape_of(2, DType::kFloat32, DType::kBFloat16));
  EXPECT_EQ(volume.gradient_bytes, 3 * kSent * 4);
  EXPECT_EQ(volume.weight_bytes, kSent * 2);
}

// Each stage divides one more state; what a process keeps of it is a part of the padded whole.
TEST(PlanOfProcesses, EveryStageDividesItsStates) {
  const auto bytes = [](int stage, std::int64_t processes) {
    TrainingShape shape = shape_of(stage, DType::kFloat32, DType::kBFloat16);
    shape.parallel.processes = processes;
    shape.parallel.staging_bytes = processes > 1 ? 4096 : 0;
    return plan_training(shape, ScratchlessTraits()).by_category();
  };
  constexpr std::int64_t kFlat = 36864 + 2 * 49152 + 512;
  constexpr std::int64_t kWindow = 36864 + 512 + 2 * 49152;  // two layers take two places: the whole, of so small a model
  using enum MemoryCategory;
  for (const int stage : {0, 1, 2}) {
    const BytesByCategory planned = bytes(stage, 4);
    const std::int64_t parts = stage == 0 ? 1 : 4;
    EXPECT_EQ(planned[kWeights], 2 * kFlat);
    EXPECT_EQ(planned[kMasterWeights], 4 * kFlat / parts);
    EXPECT_EQ(planned[kOptimizer], 8 * kFlat / parts);
    EXPECT_EQ(planned[kGradients], stage == 2 ? 4 * kWindow + 4 * kFlat / 4 : 4 * kFlat);
    // Messages, and the norms of four buckets of four processes: 64 bytes.
    EXPECT_EQ(planned[kWorkspace] - bytes(stage, 1)[kWorkspace], 4096 + 64);
  }
}

TEST(RemediesOfProcesses, RaiseTheZeroStage) {
  const TrainingShape asked = shape_of(0, DType::kFloat32, DType::kBFloat16);
  const std::vector<Remedy> remedies = find_remedies(asked, 1, ScratchlessTraits());
  for (const int stage : {1, 2}) {
    EXPECT_TRUE(std::ranges::any_of(remedies, [&](const Remedy& remedy) { return remedy.shape.parallel.zero_stage == stage; }));
  }
}

TEST(RemediesOfProcesses, NeverAskForSumsThatAreRoundedRepeatedly) {
  for (const int stage : {0, 1, 2}) {
    TrainingShape asked = shape_of(stage, DType::kBFloat16, DType::kBFloat16);
    if (stage == 2) asked.grad_accum_steps = 1;
    ASSERT_FALSE(asked.rounds_sums_repeatedly());
    const std::vector<Remedy> remedies = find_remedies(asked, 1, ScratchlessTraits());
    EXPECT_FALSE(remedies.empty());
    for (const Remedy& remedy : remedies) {
      EXPECT_FALSE(remedy.shape.rounds_sums_repeatedly());
      EXPECT_EQ(remedy.shape.sequences_per_step(), asked.sequences_per_step());
    }
    EXPECT_TRUE(std::ranges::any_of(remedies, [](const Remedy& remedy) { return remedy.shape.batch_size == 1; }));
  }
}

}  // namespace
}  // namespace virgil
