#include "virgil/plan/recipe.h"

#include <gtest/gtest.h>

namespace virgil {
namespace {

TEST(Recipe, IsTheStepLawWhereThatWasFitted) {
  // 1.79 * (1e9)^-0.713 * (1e11)^0.307 = 1.62e-3; 0.58 * (1e11)^0.571 = 1.11M tokens.
  const Recipe recipe = recommend_recipe(1e9, 1e11, 2048);
  EXPECT_DOUBLE_EQ(recipe.learning_rate, 1.6e-3);
  EXPECT_DOUBLE_EQ(recipe.min_lr, 1e-5);
  EXPECT_NEAR(static_cast<double>(recipe.tokens_per_step), 1.107e6, 2e4);
  EXPECT_EQ(recipe.tokens_per_step % (8 * 2048), 0);
  EXPECT_DOUBLE_EQ(recipe.beta2, 0.95);
}

TEST(Recipe, StaysWithinWhatWasTried) {
  const Recipe small = recommend_recipe(1e5, 1e5, 256);
  EXPECT_DOUBLE_EQ(small.learning_rate, 3e-3);
  EXPECT_EQ(small.tokens_per_step, 1024);
  EXPECT_DOUBLE_EQ(small.beta2, 0.99);
  const Recipe large = recommend_recipe(1e12, 1e14, 4096);
  EXPECT_EQ(large.tokens_per_step, 1 << 22);
  EXPECT_LT(large.min_lr, large.learning_rate);
}

TEST(Recipe, TakesWholeSequences) {
  EXPECT_EQ(recommend_recipe(1e6, 1e6, 65536).tokens_per_step, 65536);
  EXPECT_EQ(recommend_recipe(1e6, 5e6, 100).tokens_per_step % 100, 0);
}

}  // namespace
}  // namespace virgil
