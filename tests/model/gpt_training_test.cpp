#include <numeric>

#include <gtest/gtest.h>

#include "support/test_model.h"
#include "virgil/base/error.h"
#include "virgil/optim/adamw.h"
#include "virgil/optim/step_figures.h"

namespace virgil {
namespace {

using test_support::TestBatch;
using test_support::TestModel;

constexpr ModelSizes kSizes{.num_layers = 2, .num_heads = 2, .embedding_dim = 32, .block_size = 16, .vocab_size = 65};
constexpr StepShape kStep{.batch_size = 4, .length = 16};

double train_on_one_batch(TestModel& model, const TestBatch& batch, int steps) {
  AdamW optimizer(model.backend(), model.plan(), model.memory(), {.weight_decay = 0});
  optimizer.reset();
  double loss = 0;
  for (int t = 1; t <= steps; ++t) {
    loss = model.compute_gradients(batch, {.seed = 1, .step = static_cast<std::uint32_t>(t)});
    (void)optimizer.step(t, 1e-2);
  }
  return loss;
}

TEST(GptTraining, OverfitsOneBatchToNearZero) {
  TestModel model(kSizes, kStep);
  const TestBatch batch = model.random_batch();
  EXPECT_GT(model.evaluate(batch), 4.0);
  (void)train_on_one_batch(model, batch, 200);
  // 64 random tokens that context and position tell apart: nothing but the number of steps keeps the loss from zero.
  EXPECT_LT(model.evaluate(batch), 0.01);
}

TEST(GptTraining, AStepsFiguresAreThoseOfItsMicroSteps) {
  StepShape step = kStep;
  step.micro_steps = 3;
  TestModel model(kSizes, step);
  AdamW optimizer(model.backend(), model.plan(), model.memory(), {});
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
  ModelSizes sizes = kSizes;
  sizes.dropout = 0.2F;
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    StepShape step = kStep;
    step.dtype = dtype;
    step.optimizer_state_dtype = dtype;
    TestModel first(sizes, step);
    TestModel second(sizes, step);
    const TestBatch batch = first.random_batch();
    EXPECT_EQ(train_on_one_batch(first, batch, 20), train_on_one_batch(second, batch, 20));
    test_support::expect_same_bits(first.plan().parameters(), first.weights(), second.weights());
  }
}

TEST(GptTraining, OverfitsOneBatchInBFloat16) {
  for (const DType moments : {DType::kFloat32, DType::kBFloat16}) {
    StepShape step = kStep;
    step.dtype = DType::kBFloat16;
    step.optimizer_state_dtype = moments;
    TestModel model(kSizes, step);
    const TestBatch batch = model.random_batch();
    (void)train_on_one_batch(model, batch, 200);
    // Logits of up to 16 are rounded by up to 2^-8 of themselves, a sixteenth: the loss of a token that is as good as certain
    // in float32 stays as small.
    EXPECT_LT(model.evaluate(batch), 0.02) << name_of(moments);
  }
}

TEST(GptTraining, OverfitsOneBatchWithMomentsInBFloat16) {
  StepShape step = kStep;
  step.optimizer_state_dtype = DType::kBFloat16;
  TestModel model(kSizes, step);
  const TestBatch batch = model.random_batch();
  (void)train_on_one_batch(model, batch, 200);
  EXPECT_LT(model.evaluate(batch), 0.01);
}

StepShape without_master_weights(DType moments) {
  StepShape step = kStep;
  step.dtype = DType::kBFloat16;
  step.master_weights = false;
  step.optimizer_state_dtype = moments;
  return step;
}

TEST(GptTraining, OverfitsOneBatchWithoutMasterWeights) {
  for (const DType moments : {DType::kFloat32, DType::kBFloat16}) {
    TestModel model(kSizes, without_master_weights(moments));
    EXPECT_EQ(model.gpt().master_weights().view().data(), model.gpt().weights().data());
    const TestBatch batch = model.random_batch();
    (void)train_on_one_batch(model, batch, 200);
    // Every weight is off by up to 2^-8 of itself, anew at each step, where with master weights it is by a rounding: a loss of
    // 0.1 is still that of a batch known by heart (a guess is 4.2).
    EXPECT_LT(model.evaluate(batch), 0.1) << name_of(moments);
  }
}

TEST(GptTraining, WithoutMasterWeightsTwoRunsGiveTheSameBits) {
  const StepShape step = without_master_weights(DType::kBFloat16);
  TestModel first(kSizes, step);
  TestModel second(kSizes, step);
  const TestBatch batch = first.random_batch();
  EXPECT_EQ(train_on_one_batch(first, batch, 20), train_on_one_batch(second, batch, 20));
  test_support::expect_same_bits(first.plan().parameters(), first.weights(), second.weights());
}

TEST(GptTraining, WithoutMasterWeightsInitialWeightsAreThoseRounded) {
  TestModel half(kSizes, without_master_weights(DType::kFloat32));
  TestModel single(kSizes, kStep);
  std::vector<float> rounded = single.weights();
  for (float& value : rounded) value = static_cast<float>(BFloat16(value));
  test_support::expect_same_bits(half.plan().parameters(), rounded, half.weights());
}

TEST(GptTraining, WorkingWeightsAreTheMasterWeightsRounded) {
  StepShape step = kStep;
  step.dtype = DType::kBFloat16;
  TestModel model(kSizes, step);
  (void)train_on_one_batch(model, model.random_batch(), 3);
  const std::vector<float> master = model.weights();
  std::vector<BFloat16> working(master.size());
  model.backend().copy_to_host(std::as_writable_bytes(std::span(working)), model.gpt().weights());
  for (std::size_t i = 0; i < master.size(); ++i) {
    ASSERT_EQ(working[i], BFloat16(master[i])) << test_support::parameter_at(model.plan().parameters(), i);
  }
}

TEST(GptTraining, PaddingRowsAndGapsStayZero) {
  for (const StepShape& step : {kStep, without_master_weights(DType::kBFloat16)}) {
    TestModel model(kSizes, step);
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
