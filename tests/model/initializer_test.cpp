#include "virgil/model/initializer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "support/test_model.h"

namespace virgil {
namespace {

using test_support::TestModel;

const Architecture kInitializedSizes{
    .num_layers = 2, .num_heads = 2, .embedding_dim = 64, .block_size = 48, .vocab_size = 65, .biases = kAllBiases};
constexpr StepShape kSmallStep{.batch_size = 1, .length = 8};

std::span<const float> part(const std::vector<float>& flat, std::int64_t offset, std::int64_t count) {
  return std::span(flat).subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(count));
}

TEST(Initializer, DrawsEachTensorFromItsOwnStream) {
  TestModel model(kInitializedSizes, kSmallStep, 2, /*seed=*/42);
  const std::vector<float> weights = model.weights();
  const auto parameters = model.plan().parameters().parameters();
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    const ParameterSpec& spec = parameters[p];
    const auto values = part(weights, spec.offset, spec.stored_shape.num_elements());
    for (std::size_t i = 0; i < values.size(); ++i) {
      float expected = spec.init == InitKind::kOnes ? 1.0F : 0.0F;
      if (spec.init == InitKind::kNormal) {
        expected = spec.init_std * random_normal({42, RandomPurpose::kInit, static_cast<std::uint32_t>(p), 0}, i);
      }
      ASSERT_EQ(values[i], expected) << spec.name << " element " << i;
    }
  }
}

TEST(Initializer, HasTheStandardDeviationOfTheLayout) {
  TestModel model(kInitializedSizes, kSmallStep);
  const std::vector<float> weights = model.weights();
  for (const ParameterSpec& spec : model.plan().parameters().parameters()) {
    if (spec.init != InitKind::kNormal) continue;
    double sum_of_squares = 0;
    const auto values = part(weights, spec.offset, spec.stored_shape.num_elements());
    for (const float value : values) sum_of_squares += static_cast<double>(value) * value;
    const auto n = static_cast<double>(values.size());
    // Five standard errors: the mean of n squares of a standard normal deviates by sqrt(2 / n).
    EXPECT_NEAR(sum_of_squares / n / (spec.init_std * spec.init_std), 1.0, 5 * std::sqrt(2 / n)) << spec.name;
  }
}

TEST(Initializer, ZeroesPaddingRowsAndGaps) {
  TestModel model(kInitializedSizes, kSmallStep);
  std::vector<float> weights = model.weights();  // TestModel fills the memory with NaN before
  const ParameterSpec& wte = model.plan().parameters().find("transformer.wte.weight");
  for (const float value : part(weights, wte.offset + 65 * 64, (128 - 65) * 64)) ASSERT_EQ(value, 0.0F);
  for (const ParameterSpec& spec : model.plan().parameters().parameters()) {
    std::fill_n(weights.begin() + spec.offset, spec.num_elements(), 0.0F);
  }
  for (const float value : weights) ASSERT_EQ(value, 0.0F);
}

TEST(Initializer, GivesTheSameBitsForAnyNumberOfThreads) {
  TestModel one(kInitializedSizes, kSmallStep, 1);
  TestModel three(kInitializedSizes, kSmallStep, 3);
  test_support::expect_same_bits(one.plan().parameters(), one.weights(), three.weights());
}

TEST(Initializer, DependsOnTheSeed) {
  TestModel one(kInitializedSizes, kSmallStep, 2, 1);
  TestModel two(kInitializedSizes, kSmallStep, 2, 2);
  EXPECT_NE(one.weights(), two.weights());
}

}  // namespace
}  // namespace virgil
