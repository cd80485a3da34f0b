#include "virgil/model/gpt.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "support/test_model.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

using test_support::kUnitRoundoff;
using test_support::TestBatch;
using test_support::TestModel;

const Architecture kSizes{
    .num_layers = 2, .num_heads = 2, .embedding_dim = 32, .block_size = 32, .vocab_size = 65, .biases = kAllBiases};
constexpr StepShape kStep{.batch_size = 3, .length = 17};

std::size_t num_logits(TestModel& model, const TestBatch& batch) {
  return static_cast<std::size_t>(batch.size() * model.config().vocab_size);
}

struct InitialLossCase {
  std::int64_t vocab_size;
  bool tied;
};
class GptInitialLoss : public testing::TestWithParam<InitialLossCase> {};

TEST_P(GptInitialLoss, IsThatOfUniformGuessing) {
  Architecture sizes = kSizes;
  sizes.vocab_size = GetParam().vocab_size;
  sizes.tie_weights = GetParam().tied;
  TestModel model(sizes, kStep);
  const double uniform = std::log(static_cast<double>(sizes.vocab_size));
  EXPECT_NEAR(model.evaluate(model.random_batch()), uniform, 0.02 * uniform);
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, GptInitialLoss,
                         testing::Values(InitialLossCase{65, true}, InitialLossCase{65, false}, InitialLossCase{2000, true},
                                         InitialLossCase{50257, true}));

TEST(Gpt, LossIsThatOfItsLogits) {
  TestModel model(kSizes, kStep);
  const TestBatch batch = model.random_batch();
  std::vector<float> logits(num_logits(model, batch));
  model.gpt().load_batch(batch.inputs, batch.targets);
  const double loss_sum = model.gpt().evaluate_with_logits(logits);
  double expected = 0;
  for (std::size_t row = 0; row < batch.targets.size(); ++row) {
    const auto values = std::span(logits).subspan(row * 65, 65);
    double sum = 0;
    for (const float value : values) sum += std::exp(static_cast<double>(value));
    expected += std::log(sum) - static_cast<double>(values[static_cast<std::size_t>(batch.targets[row])]);
  }
  // Each row's loss is rounded from a float32 sum of 65 exponentials, then their sum to float32.
  EXPECT_NEAR(loss_sum, expected, (test_support::probable_gamma(65) + 2 * kUnitRoundoff) * expected);
  EXPECT_EQ(loss_sum, model.gpt().evaluate());
}

TEST(Gpt, IgnoresNegativeTargets) {
  TestModel model(kSizes, kStep);
  TestBatch batch = model.random_batch();
  const double whole = model.evaluate(batch) * static_cast<double>(batch.size());
  TestBatch first = batch;
  TestBatch second = batch;
  for (std::size_t i = 0; i < batch.targets.size(); ++i) (i % 2 == 0 ? first : second).targets[i] = -1;
  const double halves = (model.evaluate(first) + model.evaluate(second)) * static_cast<double>(batch.size());
  // Three float32 sums, each rounded once from float64.
  EXPECT_NEAR(halves, whole, 2 * kUnitRoundoff * whole);

  std::ranges::fill(batch.targets, -1);
  EXPECT_EQ(model.compute_gradients(batch), 0.0);
  for (const float value : model.gradients()) ASSERT_EQ(value, 0.0F);
}

TEST(Gpt, NeverLooksAhead) {
  TestModel model(kSizes, kStep);
  TestBatch batch = model.random_batch();
  std::vector<float> before(num_logits(model, batch));
  std::vector<float> after(before.size());
  model.gpt().load_batch(batch.inputs, batch.targets);
  (void)model.gpt().evaluate_with_logits(before);
  constexpr std::size_t kChanged = 9;  // position in sequence 0
  batch.inputs[kChanged] = (batch.inputs[kChanged] + 1) % 65;
  model.gpt().load_batch(batch.inputs, batch.targets);
  (void)model.gpt().evaluate_with_logits(after);
  const auto row = [](const std::vector<float>& logits, std::size_t r) { return std::span(logits).subspan(r * 65, 65); };
  for (std::size_t r = 0; r < batch.inputs.size(); ++r) {
    const bool may_see = r >= kChanged && r < 17;
    EXPECT_EQ(!std::ranges::equal(row(before, r), row(after, r)), may_see) << "row " << r;
  }
}

TEST(Gpt, EvaluationPlanAndTrainingPlanAgreeBitForBit) {
  StepShape evaluation = kStep;
  evaluation.training = false;
  TestModel trained(kSizes, kStep);
  TestModel evaluated(kSizes, evaluation);
  const TestBatch batch = trained.random_batch();
  EXPECT_EQ(trained.evaluate(batch), evaluated.evaluate(batch));
  EXPECT_EQ(trained.compute_gradients(batch), evaluated.evaluate(batch));
}

TEST(Gpt, EvaluatesWithoutDropout) {
  Architecture sizes = kSizes;
  sizes.dropout = 0.5F;
  TestModel with(sizes, kStep);
  TestModel without(kSizes, kStep);
  const TestBatch batch = with.random_batch();
  EXPECT_EQ(with.evaluate(batch), without.evaluate(batch));
  EXPECT_NE(with.compute_gradients(batch), without.compute_gradients(batch));
}

TEST(Gpt, GradientsAccumulateUntilZeroed) {
  TestModel model(kSizes, kStep);
  const TestBatch batch = model.random_batch();
  (void)model.compute_gradients(batch);
  const std::vector<float> once = model.gradients();
  (void)model.gpt().accumulate_gradients(1.0F / 51, {});
  const std::vector<float> twice = model.gradients();
  const std::int64_t path = test_support::backward_path_length(model.config(), 3, 17);
  for (const ParameterSpec& spec : model.plan().parameters().parameters()) {
    // The second pass adds to what the first left, so that its partial sums round differently.
    const double bound = test_support::probable_gamma(path) * 2 * test_support::largest(once, spec);
    for (std::int64_t i = spec.offset; i < spec.offset + spec.num_elements(); ++i) {
      const auto element = static_cast<std::size_t>(i);
      ASSERT_NEAR(twice[element], 2 * static_cast<double>(once[element]), bound) << spec.name;
    }
  }
  model.gpt().zero_gradients();
  for (const float value : model.gradients()) ASSERT_EQ(value, 0.0F);
}

TEST(Gpt, PaddingRowsAndGapsGetNoGradient) {
  TestModel model(kSizes, kStep);
  (void)model.compute_gradients(model.random_batch());
  std::vector<float> gradients = model.gradients();
  for (const ParameterSpec& spec : model.plan().parameters().parameters()) {
    EXPECT_GT(test_support::largest(gradients, spec), 0.0) << spec.name;
    std::fill_n(gradients.begin() + spec.offset, spec.stored_shape.num_elements(), 0.0F);
  }
  for (const float value : gradients) ASSERT_EQ(value, 0.0F);
}

TEST(Gpt, RunsOnAnyBatchShape) {
  // A workspace or a chunk of logits that a shape outgrows would throw; memory no op wrote would make the loss a NaN.
  for (const auto& [batch_size, length] : {std::pair{1, 1}, {1, 32}, {5, 1}, {7, 3}, {2, 31}}) {
    TestModel model(kSizes, {.batch_size = batch_size, .length = length});
    const TestBatch batch = model.random_batch();
    EXPECT_NEAR(model.compute_gradients(batch), std::log(65.0), 0.5) << batch_size << " x " << length;
    for (const float value : model.gradients()) ASSERT_TRUE(std::isfinite(value)) << batch_size << " x " << length;
  }
}

TEST(Gpt, RefusesMisuse) {
  StepShape evaluation = kStep;
  evaluation.training = false;
  TestModel evaluated(kSizes, evaluation);
  EXPECT_THROW((void)evaluated.gpt().gradients(), InternalError);
  EXPECT_THROW((void)evaluated.gpt().accumulate_gradients(1, {}), InternalError);
  EXPECT_THROW(evaluated.gpt().zero_gradients(), InternalError);
  std::vector<float> too_few(7);
  EXPECT_THROW((void)evaluated.gpt().evaluate_with_logits(too_few), InternalError);
  const std::vector<std::int32_t> short_batch(5);
  EXPECT_THROW(evaluated.gpt().load_batch(short_batch, short_batch), InternalError);
  EXPECT_THROW(TestModel(kSizes, {.batch_size = 1, .length = 33}), InternalError);
}

}  // namespace
}  // namespace virgil
