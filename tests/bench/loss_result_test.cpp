#include "bench/loss_result.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <optional>
#include <vector>

namespace virgil::bench {
namespace {

/// Of a text of two bytes a character.
LossTarget target_of(double loss, std::optional<double> within_s = {}) {
  return {.loss = loss, .bytes_per_character = 2, .within_s = within_s};
}

/// Steps of two seconds; an evaluation with each value that is not 0, before the step.
RunHistory run_of(const std::vector<double>& losses) {
  RunHistory run;
  for (std::size_t row = 0; row < losses.size(); ++row) {
    run.steps.push_back(static_cast<std::int64_t>(row));
    const auto set = [&](Figure figure, double value) { run.figures[static_cast<std::size_t>(figure)].set(row, value); };
    set(Figure::kElapsedMs, 2000);
    set(Figure::kTokensPerS, 100);
    if (losses[row] != 0) set(Figure::kValBitsPerByte, losses[row] / 2 / std::numbers::ln2);
  }
  return run;
}

TEST(LossResult, IsTheFirstEvaluationThatFindsTheTarget) {
  const LossResult result = loss_result(run_of({1.0, 0, 3.0, 0, 2.0, 1.5, 1.9}), target_of(2.001));
  EXPECT_EQ(result.seconds, 8) << "weights that were never updated do not count";
  EXPECT_EQ(result.steps, 4);
  EXPECT_NEAR(result.best_loss, 1.5, 1e-12);
  EXPECT_EQ(result.best_step, 5);
  EXPECT_EQ(result.trained_s, 14);
  EXPECT_DOUBLE_EQ(result.tokens_per_s, 100);
  EXPECT_TRUE(is_decided(result, target_of(2)));
  EXPECT_FALSE(is_decided(result, target_of(2, 20)));
  EXPECT_TRUE(is_decided(result, target_of(2, 14)));
}

TEST(LossResult, LooksNoFurtherThanItsTime) {
  const std::vector<double> losses = {9, 3.0, 0, 2.0, 1.0};
  EXPECT_NEAR(loss_result(run_of(losses), target_of(1.001, 8)).best_loss, 1.0, 1e-12);
  EXPECT_NEAR(loss_result(run_of(losses), target_of(1.001, 7)).best_loss, 2.0, 1e-12);
  EXPECT_FALSE(loss_result(run_of(losses), target_of(1.001, 7)).seconds);
}

TEST(LossResult, LeavesOutWhatIsNotFinite) {
  const double nan = std::nan("");
  const LossResult result = loss_result(run_of({nan, nan, nan}), target_of(2));
  EXPECT_FALSE(result.seconds);
  EXPECT_TRUE(std::isinf(result.best_loss));
  EXPECT_EQ(loss_result({}, target_of(1)).tokens_per_s, 0);
}

TEST(LossSummary, CountsRunsThatDidNotArriveAsTheLongest) {
  const auto arrived = [](double seconds) { return LossResult{.seconds = seconds, .steps = std::lround(seconds)}; };
  std::vector<LossResult> results = {arrived(30), {}, arrived(10)};
  LossSummary summary = summarize(results);
  EXPECT_EQ(summary.reached, 2U);
  EXPECT_EQ(summary.median_s, 30);
  EXPECT_EQ(summary.median_steps, 30);
  EXPECT_EQ(summary.least_s, 10);
  EXPECT_EQ(summary.most_s, 30);
  results[2] = {};
  summary = summarize(results);
  EXPECT_FALSE(summary.median_s);
  EXPECT_FALSE(summary.median_steps);
  results = {arrived(30), arrived(10)};
  EXPECT_EQ(summarize(results).median_s, 20);
}

}  // namespace
}  // namespace virgil::bench
