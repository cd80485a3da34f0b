#include "virgil/plan/training_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "virgil/base/error.h"
#include "virgil/model/parameter_layout.h"

namespace virgil {
namespace {

constexpr std::int64_t kMiB = std::int64_t{1} << 20;
constexpr std::int64_t kGiB = std::int64_t{1} << 30;
const ScratchlessTraits kScratchless;

TrainingShape small_shape() {
  return {.model = {.num_layers = 4, .num_heads = 4, .embedding_dim = 256, .block_size = 256, .vocab_size = 1000},
          .batch_size = 24,
          .grad_accum_steps = 2};
}

std::int64_t bytes_of(const TrainingShape& shape) { return plan_training(shape, kScratchless).total_bytes(); }

TEST(TrainingPlan, JudgesByHeadroom) {
  EXPECT_EQ(headroom_bytes(100 * kGiB), kGiB);
  EXPECT_EQ(headroom_bytes(1000), 100);
  EXPECT_EQ(judge(1001, 1000), Verdict::kNo);
  EXPECT_EQ(judge(1000, 1000), Verdict::kTight);
  EXPECT_EQ(judge(901, 1000), Verdict::kTight);
  EXPECT_EQ(judge(900, 1000), Verdict::kYes);
}

TEST(TrainingPlan, MoreRecomputationTakesLessMemoryAndMoreTime) {
  TrainingShape shape = small_shape();
  std::int64_t bytes = bytes_of(shape) + 1;
  double work = 0;
  for (const Recompute recompute : kAllRecompute) {
    shape.recompute = recompute;
    EXPECT_LT(bytes_of(shape), bytes) << name_of(recompute);
    EXPECT_GT(step_work(shape, ScratchlessTraits()), work) << name_of(recompute);
    bytes = bytes_of(shape);
    work = step_work(shape, ScratchlessTraits());
  }
  shape.recompute = Recompute::kNone;
  EXPECT_LT(work / step_work(shape, ScratchlessTraits()), 4.0 / 3 + 0.05);  // a whole forward pass more would be 4/3
}

TEST(TrainingPlan, SmallerBatchesTakeMoreTime) {
  TrainingShape shape = small_shape();
  const double whole = step_work(shape, ScratchlessTraits());
  shape.batch_size = 1;
  shape.grad_accum_steps = 48;
  EXPECT_GT(step_work(shape, ScratchlessTraits()), whole);
  EXPECT_LT(step_work(shape, ScratchlessTraits()), 1.2 * whole);
}

TEST(TrainingPlan, SmallerChunksOfLogitsTakeLessMemoryAndMoreTime) {
  TrainingShape shape = small_shape();
  shape.model.vocab_size = 30000;
  TrainingShape smaller = shape;
  smaller.logits_chunk = 64;
  EXPECT_EQ(plan_training(smaller, kScratchless).logits_rows(), 64);
  EXPECT_EQ(bytes_of(shape) - bytes_of(smaller), (plan_training(shape, kScratchless).logits_rows() - 64) * 30016 * 4);
  EXPECT_GT(step_work(smaller, ScratchlessTraits()), step_work(shape, ScratchlessTraits()));
}

TEST(TrainingPlan, LargestBatchFitsAndTheNextDivisorDoesNot) {
  const TrainingShape shape = small_shape();
  for (const std::int64_t limit : {100 * kMiB, 200 * kMiB, 400 * kMiB, kGiB}) {
    const auto found = largest_dividing_batch(shape, 48, limit, kScratchless);
    ASSERT_TRUE(found) << limit;
    EXPECT_EQ(found->sequences_per_step(), 48);
    EXPECT_LE(bytes_of(*found), limit);
    for (std::int64_t batch = found->batch_size + 1; batch <= 48; ++batch) {
      TrainingShape larger = *found;
      larger.batch_size = batch;
      if (48 % batch == 0) {
        EXPECT_GT(bytes_of(larger), limit) << batch;
      }
    }
  }
  EXPECT_FALSE(largest_dividing_batch(shape, 48, kMiB, kScratchless));
}

class SolveLargest : public testing::TestWithParam<SolveVariable> {};

std::int64_t value_in(const TrainingShape& shape, SolveVariable variable) {
  switch (variable) {
    case SolveVariable::kBatchSize:
      return shape.batch_size;
    case SolveVariable::kBlockSize:
      return shape.model.block_size;
    case SolveVariable::kNumLayers:
      return shape.model.num_layers;
    case SolveVariable::kEmbeddingDim:
      return shape.model.embedding_dim;
  }
  return 0;
}

TEST_P(SolveLargest, FitsAndOneStepMoreDoesNot) {
  const TrainingShape shape = small_shape();
  constexpr std::int64_t kLimit = 400 * kMiB;
  const auto found = solve_largest(shape, GetParam(), kLimit, kScratchless);
  ASSERT_TRUE(found);
  EXPECT_LE(bytes_of(*found), kLimit);
  const std::int64_t step = solve_step(shape, GetParam());
  EXPECT_EQ(value_in(*found, GetParam()) % step, 0);
  TrainingShape larger = *found;
  larger.batch_size += GetParam() == SolveVariable::kBatchSize ? step : 0;
  larger.model.block_size += GetParam() == SolveVariable::kBlockSize ? step : 0;
  larger.model.num_layers += GetParam() == SolveVariable::kNumLayers ? step : 0;
  if (GetParam() == SolveVariable::kEmbeddingDim) {
    EXPECT_EQ(found->model.embedding_dim / found->model.num_heads, 64);
    larger.model.embedding_dim += step;
    larger.model.num_heads += 1;
  }
  EXPECT_GT(bytes_of(larger), kLimit);
  EXPECT_FALSE(solve_largest(shape, GetParam(), 1000, kScratchless));
}

INSTANTIATE_TEST_SUITE_P(Variables, SolveLargest,
                         testing::Values(SolveVariable::kBatchSize, SolveVariable::kBlockSize, SolveVariable::kNumLayers,
                                         SolveVariable::kEmbeddingDim));

TEST(Remedies, KeepTokensAndSaveWhatTheySay) {
  const TrainingShape shape = small_shape();
  const std::int64_t limit = bytes_of(shape) / 2;
  const std::vector<Remedy> remedies = find_remedies(shape, limit, kScratchless);
  ASSERT_FALSE(remedies.empty());
  EXPECT_TRUE(remedies.front().fits);
  bool fits = true;
  double factor = 0;
  for (const Remedy& remedy : remedies) {
    EXPECT_TRUE(remedy.same_training);
    EXPECT_EQ(remedy.shape.sequences_per_step(), shape.sequences_per_step());
    EXPECT_EQ(remedy.planned_bytes, bytes_of(remedy.shape));
    EXPECT_EQ(remedy.saved_bytes, bytes_of(shape) - remedy.planned_bytes);
    EXPECT_GT(remedy.saved_bytes, 0);
    EXPECT_EQ(remedy.fits, remedy.planned_bytes <= limit);
    EXPECT_LE(remedy.fits, fits) << "those that fit come first";
    if (remedy.fits) {
      EXPECT_GE(remedy.time_factor, factor);
      factor = remedy.time_factor;
    }
    fits = remedy.fits;
  }
}

TEST(Remedies, NameEveryLever) {
  TrainingShape shape = small_shape();
  shape.model.vocab_size = 30000;
  const std::vector<Remedy> remedies = find_remedies(shape, bytes_of(shape) / 2, kScratchless);
  const auto changes = [&](auto member) {
    return std::ranges::any_of(remedies, [&](const Remedy& remedy) { return remedy.shape.*member != shape.*member; });
  };
  EXPECT_TRUE(changes(&TrainingShape::recompute));
  EXPECT_TRUE(changes(&TrainingShape::batch_size));
  EXPECT_TRUE(changes(&TrainingShape::logits_chunk));
  EXPECT_TRUE(changes(&TrainingShape::optimizer_state_dtype));
}

TEST(Remedies, RecomputeMoreOnlyForALargerBatch) {
  const TrainingShape shape = small_shape();
  for (const std::int64_t percent : {80, 60, 40, 30}) {
    std::int64_t batch = 0;
    std::vector<Remedy> remedies = find_remedies(shape, bytes_of(shape) * percent / 100, kScratchless);
    std::ranges::sort(remedies, {}, [](const Remedy& remedy) { return remedy.shape.recompute; });
    for (const Remedy& remedy : remedies) {
      if (!remedy.fits || remedy.shape.batch_size == shape.batch_size) continue;
      EXPECT_GT(remedy.shape.batch_size, batch) << percent << " % " << name_of(remedy.shape.recompute);
      batch = remedy.shape.batch_size;
    }
  }
}

TEST(Remedies, ShrinkTheModelOnlyWhenNothingElseFits) {
  TrainingShape shape = small_shape();
  TrainingShape least = shape;
  least.batch_size = 1;
  least.grad_accum_steps = 48;
  least.recompute = Recompute::kBlock;
  least.logits_chunk = 64;
  least.optimizer_state_dtype = DType::kBFloat16;
  const std::vector<Remedy> remedies = find_remedies(shape, bytes_of(least) - kMiB, kScratchless);
  ASSERT_FALSE(remedies.empty());
  EXPECT_TRUE(remedies.front().fits);
  EXPECT_FALSE(remedies.front().same_training);
  for (const Remedy& remedy : find_remedies(shape, bytes_of(least), kScratchless)) EXPECT_TRUE(remedy.same_training);
}

TEST(Remedies, GiveUpMasterWeightsAfterAllThatKeepsThem) {
  TrainingShape shape = small_shape();
  shape.dtype = DType::kBFloat16;
  TrainingShape without = shape;
  without.master_weights = false;
  // A limit that the copy alone is above.
  const std::int64_t limit = bytes_of(without);
  const std::vector<Remedy> remedies = find_remedies(shape, limit, kScratchless);
  bool keeps = true;
  std::int64_t dropping = 0;
  for (const Remedy& remedy : remedies) {
    if (!remedy.fits) continue;
    EXPECT_TRUE(remedy.same_training);
    EXPECT_LE(!remedy.drops_master_weights(shape), keeps) << "those that keep them come first, whatever their time";
    keeps = !remedy.drops_master_weights(shape);
    dropping += keeps ? 0 : 1;
  }
  EXPECT_EQ(dropping, 1);
  EXPECT_FALSE(remedies.front().drops_master_weights(shape));

  without.batch_size = 1;
  without.grad_accum_steps = 48;
  without.recompute = Recompute::kBlock;
  without.logits_chunk = 64;
  without.optimizer_state_dtype = DType::kBFloat16;
  TrainingShape with = without;
  with.master_weights = true;
  // Where nothing that keeps them fits, the smallest run without them does, before any other model is named.
  const std::vector<Remedy> last = find_remedies(shape, bytes_of(with) - 1, kScratchless);
  EXPECT_TRUE(last.front().fits);
  EXPECT_TRUE(last.front().same_training);
  EXPECT_TRUE(last.front().drops_master_weights(shape));
}

TEST(Remedies, NameMasterWeightsInBFloat16Only) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat16}) {
    TrainingShape shape = small_shape();
    shape.dtype = dtype;
    for (const Remedy& remedy : find_remedies(shape, bytes_of(shape) / 8, kScratchless)) {
      EXPECT_TRUE(remedy.shape.master_weights) << name_of(dtype);
    }
  }
}

TEST(Remedies, AreEmptyWhereNothingCanBeSaved) {
  TrainingShape shape{.model = {.num_layers = 1, .num_heads = 1, .embedding_dim = 8, .block_size = 1, .vocab_size = 1}};
  shape.recompute = Recompute::kBlock;
  shape.optimizer_state_dtype = DType::kBFloat16;
  EXPECT_TRUE(find_remedies(shape, 1, kScratchless).empty());
}

TEST(ModelsOfSize, AreNearAndOfAUsualShape) {
  const Architecture like{.num_layers = 1, .num_heads = 1, .embedding_dim = 64, .block_size = 1024, .vocab_size = 50257};
  for (const std::int64_t target : {50'000'000LL, 150'000'000LL, 350'000'000LL, 1'500'000'000LL, 7'000'000'000LL}) {
    const std::vector<Architecture> found = models_of_size(target, like, 3);
    ASSERT_EQ(found.size(), 3U) << target;
    const auto count = static_cast<double>(ParameterLayout(trainable(found.front())).num_parameters());
    EXPECT_LT(std::abs(count / static_cast<double>(target) - 1), 0.05) << target;
    EXPECT_EQ(found.front().embedding_dim, 64 * found.front().num_heads);
  }
}

TEST(ModelsOfSize, ASizeBelowTheEmbeddingsHasNoModelNearIt) {
  const Architecture like{.num_layers = 1, .num_heads = 1, .embedding_dim = 64, .block_size = 1024, .vocab_size = 50257};
  EXPECT_TRUE(models_of_size(1000, like, 3).empty());
}

TEST(TrainingPlan, RefusesWhatOverflows) {
  TrainingShape shape = small_shape();
  shape.batch_size = std::int64_t{1} << 62;
  EXPECT_THROW((void)plan_training(shape, kScratchless), UserError);
  EXPECT_THROW((void)shape.sequences_per_step(), UserError);
}

}  // namespace
}  // namespace virgil
