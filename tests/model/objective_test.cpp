#include "virgil/model/objective.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/test_model.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

using test_support::TestBatch;
using test_support::TestModel;

TEST(Objective, TargetsLieSideBySideAndAligned) {
  // As a distillation would have them: next tokens, a weight for each, a teacher's 8 best ids and their logits.
  constexpr std::array<TargetTensor, 4> kTargets = {{{"targets", DType::kInt32},
                                                     {"weights", DType::kFloat32},
                                                     {"teacher ids", DType::kInt32, 8},
                                                     {"teacher logits", DType::kBFloat16, 8}}};
  const std::vector<PlacedTarget> placed = place_targets(kTargets, 3, 17);
  EXPECT_EQ(placed[0].offset_bytes, 0);
  EXPECT_EQ(placed[0].shape, (Shape{3, 17}));
  EXPECT_EQ(placed[3].shape, (Shape{3, 17, 8}));
  EXPECT_EQ(placed[3].size_bytes(), 3 * 17 * 8 * 2);
  for (std::size_t i = 0; i + 1 < placed.size(); ++i) {
    EXPECT_EQ(placed[i + 1].offset_bytes % 256, 0);
    EXPECT_GE(placed[i + 1].offset_bytes, placed[i].offset_bytes + placed[i].size_bytes());
    EXPECT_LT(placed[i + 1].offset_bytes, placed[i].offset_bytes + placed[i].size_bytes() + 256);
  }
  constexpr std::array<TargetTensor, 1> kHuge = {
      {{"teacher logits", DType::kFloat32, std::numeric_limits<std::int64_t>::max() / 4}}};
  EXPECT_THROW((void)place_targets(kHuge, 3, 17), UserError);
}

TEST(Objective, ABatchFilledOnTheHostGivesTheSameLoss) {
  const StepShape step{.batch_size = 2, .length = 8};
  TestModel model({.num_layers = 1, .num_heads = 2, .embedding_dim = 32, .block_size = 8, .vocab_size = 65}, step);
  const TestBatch batch = model.random_batch();
  const double expected = model.compute_gradients(batch);
  HostBatch host(step);
  ASSERT_EQ(host.num_targets(), 1U);
  std::ranges::copy(batch.inputs, host.inputs().begin());
  std::ranges::copy(batch.targets, host.next_tokens().begin());
  EXPECT_THROW((void)host.target<float>(0), InternalError);
  model.gpt().load_batch(host);
  model.gpt().zero_gradients();
  const auto count = static_cast<double>(batch.size());
  EXPECT_EQ(model.gpt().accumulate_gradients(static_cast<float>(1.0 / count), {}) / count, expected);
}

}  // namespace
}  // namespace virgil
