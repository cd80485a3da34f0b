#include <gtest/gtest.h>

#include "support/test_model.h"
#include "virgil/optim/adamw.h"

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

TEST(GptTraining, TwoRunsGiveTheSameBits) {
  ModelSizes sizes = kSizes;
  sizes.dropout = 0.2F;
  TestModel first(sizes, kStep);
  TestModel second(sizes, kStep);
  const TestBatch batch = first.random_batch();
  EXPECT_EQ(train_on_one_batch(first, batch, 20), train_on_one_batch(second, batch, 20));
  test_support::expect_same_bits(first.plan().parameters(), first.weights(), second.weights());
}

TEST(GptTraining, PaddingRowsAndGapsStayZero) {
  TestModel model(kSizes, kStep);
  (void)train_on_one_batch(model, model.random_batch(), 5);
  std::vector<float> weights = model.weights();
  for (const ParameterSpec& spec : model.plan().parameters().parameters()) {
    std::fill_n(weights.begin() + spec.offset, spec.stored_shape.num_elements(), 0.0F);
  }
  for (const float value : weights) ASSERT_EQ(value, 0.0F);
}

}  // namespace
}  // namespace virgil
