#include "virgil/plan/planning_traits.h"

#include <gtest/gtest.h>

#include "virgil/base/error.h"
#include "virgil/plan/training_plan.h"

namespace virgil {
namespace {

const PlanningTraits kTraits;

TEST(PlanningTraits, ProductsMayCopyAnOperandAndTheirSums) {
  const MatmulShape forward{.m = 4096, .n = 2048, .k = 1024, .options = {}};
  const MatmulShape gradient{.m = 1024, .n = 2048, .k = 4096, .options = {.transpose_a = true, .accumulate = true}};
  constexpr std::int64_t kLibrary = std::int64_t{8} << 20;
  EXPECT_EQ(kTraits.matmul_workspace_bytes(forward), kLibrary + 1024 * 2048 * 4);
  EXPECT_EQ(kTraits.matmul_workspace_bytes(gradient), kLibrary + 4096 * 2048 * 4 + 1024 * 2048 * 4);
  MatmulShape half = forward;
  half.dtype = DType::kBFloat16;
  EXPECT_EQ(kTraits.matmul_workspace_bytes(half), kLibrary + 1024 * 2048 * 2);
}

TEST(PlanningTraits, AttentionTakesNoMatrixOfTByT) {
  const AttentionShape shape{.batch = 1, .length = 1024, .num_heads = 12, .head_size = 64};
  AttentionShape longer = shape;
  longer.length *= 4;
  EXPECT_LT(kTraits.attention_backward_workspace_bytes(longer), 4 * kTraits.attention_backward_workspace_bytes(shape));
}

TEST(PlanningTraits, PlansAreLargerThanWithoutScratch) {
  const TrainingShape shape{
      .model = {.num_layers = 2, .num_heads = 2, .embedding_dim = 128, .block_size = 64, .vocab_size = 1000}, .batch_size = 4};
  EXPECT_GT(plan_training(shape, kTraits).total_bytes(), plan_training(shape, ScratchlessTraits()).total_bytes());
}

TEST(PlanningTraits, RefuseWhatOverflows) {
  constexpr std::int64_t kHuge = std::int64_t{1} << 40;
  EXPECT_THROW((void)kTraits.matmul_workspace_bytes({.m = kHuge, .n = kHuge, .k = kHuge, .options = {}}), UserError);
}

}  // namespace
}  // namespace virgil
