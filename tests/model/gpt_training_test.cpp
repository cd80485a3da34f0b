#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "support/test_model.h"
#include "virgil/base/error.h"
#include "virgil/optim/optimizer.h"
#include "virgil/optim/step_figures.h"

namespace virgil {
namespace {

using test_support::TestBatch;
using test_support::TestModel;

const Architecture kTrainedSizes{.num_layers = 2, .num_heads = 2, .embedding_dim = 32, .block_size = 16, .vocab_size = 65};
constexpr StepShape kTrainedStep{.batch_size = 4, .length = 16};

double train_on_one_batch(TestModel& model, const TestBatch& batch, int steps) {
  Optimizer optimizer(model.backend(), model.plan(), model.memory(), {.weight_decay = 0});
  optimizer.reset();
  double loss = 0;
  for (int t = 1; t <= steps; ++t) {
    loss = model.compute_gradients(batch, {.seed = 1, .step = static_cast<std::uint32_t>(t)});
    (void)optimizer.step(t, 1e-2);
  }
  return loss;
}

StepShape in_bfloat16(DType moments, bool master_weights = true) {
  StepShape step = kTrainedStep;
  step.dtype = DType::kBFloat16;
  step.master_weights = master_weights;
  step.optimizer_state_dtype = moments;
  return step;
}

StepShape without_master_weights(DType moments) { return in_bfloat16(moments, false); }

/// The loss of a batch after 200 steps on it.
double overfitted_loss(const StepShape& step) {
  TestModel model(kTrainedSizes, step);
  const TestBatch batch = model.random_batch();
  EXPECT_GT(model.evaluate(batch), 4.0);  // a guess is 4.2
  (void)train_on_one_batch(model, batch, 200);
  return model.evaluate(batch);
}

void expect_two_runs_to_give_the_same_bits(const Architecture& sizes, const StepShape& step) {
  TestModel first(sizes, step);
  TestModel second(sizes, step);
  const TestBatch batch = first.random_batch();
  EXPECT_EQ(train_on_one_batch(first, batch, 20), train_on_one_batch(second, batch, 20));
  test_support::expect_same_bits(first.plan().parameters(), first.weights(), second.weights());
}

TEST(GptTraining, OverfitsOneBatchToNearZero) {
  // 64 random tokens that context and position tell apart: nothing but the number of steps keeps the loss from zero.
  EXPECT_LT(overfitted_loss(kTrainedStep), 0.01);
}

TEST(GptTraining, AStepsFiguresAreThoseOfItsMicroSteps) {
  StepShape step = kTrainedStep;
  step.micro_steps = 3;
  TestModel model(kTrainedSizes, step);
  Optimizer optimizer(model.backend(), model.plan(), model.memory(), {});
  optimizer.reset();
  model.gpt().zero_gradients();
  double loss_sum = 0;
  for (std::int64_t micro = 0; micro < 3; ++micro) {
    const TestBatch batch = model.random_batch(static_cast<std::uint64_t>(micro));
    model.gpt().load_batch(batch.inputs, batch.targets);
    model.gpt().enqueue_gradients(1.0F / 192, {.seed = 1, .step = 0, .first_sequence = micro * 4}, micro);
    loss_sum += model.gpt().read_loss_sum();
  }
  optimizer.enqueue_norm();
  const StepFigures figures = read_step_figures(model.backend(), model.plan(), model.memory());
  EXPECT_EQ(std::accumulate(figures.loss_sums.begin(), figures.loss_sums.end(), 0.0), loss_sum);
  EXPECT_EQ(figures.grad_norm, optimizer.step(1, 1e-3)) << "which computes it again";
  EXPECT_THROW(model.gpt().enqueue_gradients(1, {}, 3), InternalError);
  EXPECT_THROW(model.gpt().enqueue_gradients(1, {}, -1), InternalError);
}

TEST(GptTraining, TwoRunsGiveTheSameBits) {
  Architecture sizes = kTrainedSizes;
  sizes.dropout = 0.2F;
  for (const StepShape& step : {kTrainedStep, in_bfloat16(DType::kBFloat16)})
    expect_two_runs_to_give_the_same_bits(sizes, step);
}

TEST(GptTraining, OverfitsOneBatchInBFloat16) {
  for (const DType moments : {DType::kFloat32, DType::kBFloat16}) {
    // Logits of up to 16 are rounded by up to 2^-8 of themselves, a sixteenth: the loss of a token that is as good as certain
    // in float32 stays as small.
    EXPECT_LT(overfitted_loss(in_bfloat16(moments)), 0.02) << name_of(moments);
  }
}

TEST(GptTraining, OverfitsOneBatchWithMomentsInBFloat16) {
  StepShape step = kTrainedStep;
  step.optimizer_state_dtype = DType::kBFloat16;
  EXPECT_LT(overfitted_loss(step), 0.01);
}

TEST(GptTraining, OverfitsOneBatchWithoutMasterWeights) {
  for (const DType moments : {DType::kFloat32, DType::kBFloat16}) {
    // Every weight is off by up to 2^-8 of itself, anew at each step, where with master weights it is by a rounding: a loss of
    // 0.1 is still that of a batch known by heart.
    EXPECT_LT(overfitted_loss(without_master_weights(moments)), 0.1) << name_of(moments);
  }
}

TEST(GptTraining, WithoutMasterWeightsTwoRunsGiveTheSameBits) {
  expect_two_runs_to_give_the_same_bits(kTrainedSizes, without_master_weights(DType::kBFloat16));
}

TEST(GptTraining, WithoutMasterWeightsInitialWeightsAreThoseRounded) {
  TestModel half(kTrainedSizes, without_master_weights(DType::kFloat32));
  EXPECT_EQ(half.gpt().master_weights().view().data(), half.gpt().weights().data());
  TestModel single(kTrainedSizes, kTrainedStep);
  std::vector<float> rounded = single.weights();
  for (float& value : rounded) value = static_cast<float>(BFloat16(value));
  test_support::expect_same_bits(half.plan().parameters(), rounded, half.weights());
}

TEST(GptTraining, WorkingWeightsAreTheMasterWeightsRounded) {
  TestModel model(kTrainedSizes, in_bfloat16(DType::kFloat32));
  (void)train_on_one_batch(model, model.random_batch(), 3);
  const std::vector<float> master = model.weights();
  std::vector<BFloat16> working(master.size());
  model.backend().copy_to_host(std::as_writable_bytes(std::span(working)), model.gpt().weights());
  for (std::size_t i = 0; i < master.size(); ++i) {
    ASSERT_EQ(working[i], BFloat16(master[i])) << test_support::parameter_at(model.plan().parameters(), i);
  }
}

TEST(GptTraining, PaddingRowsAndGapsStayZero) {
  for (const StepShape& step : {kTrainedStep, without_master_weights(DType::kBFloat16)}) {
    TestModel model(kTrainedSizes, step);
    (void)train_on_one_batch(model, model.random_batch(), 5);
    std::vector<float> weights = model.weights();
    for (const ParameterSpec& spec : model.plan().parameters().parameters()) {
      std::fill_n(weights.begin() + spec.offset, spec.stored_shape.num_elements(), 0.0F);
    }
    for (const float value : weights) ASSERT_EQ(value, 0.0F);
  }
}

}  // namespace
}  // namespace virgil
