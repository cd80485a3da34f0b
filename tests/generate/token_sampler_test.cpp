#include "virgil/generate/token_sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "support/user_error.h"
#include "virgil/base/philox.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

const std::vector<std::int32_t> kNoHistory;

std::int32_t choose(const SamplingOptions& options, const std::vector<float>& logits, double uniform,
                    const std::vector<std::int32_t>& history = kNoHistory) {
  return TokenSampler(options).choose(logits, history, uniform);
}

/// How often each token comes in `draws` draws.
std::map<std::int32_t, int> count(const SamplingOptions& options, const std::vector<float>& logits, int draws) {
  TokenSampler sampler(options);
  const RandomStream stream{11, RandomPurpose::kSampling, 0, 0};
  std::map<std::int32_t, int> counts;
  for (int i = 0; i < draws; ++i) {
    ++counts[sampler.choose(logits, kNoHistory, static_cast<double>(random_uniform(stream, static_cast<std::uint64_t>(i))))];
  }
  return counts;
}

/// Pearson's statistic against probabilities in proportion to `weights`; weight 0 must never come.
double chi_square(const std::map<std::int32_t, int>& counts, const std::vector<double>& weights, int draws) {
  double total = 0;
  for (const double weight : weights) total += weight;
  double statistic = 0;
  for (std::size_t token = 0; token < weights.size(); ++token) {
    const auto found = counts.find(static_cast<std::int32_t>(token));
    const double observed = found == counts.end() ? 0 : found->second;
    if (weights[token] == 0) {
      EXPECT_EQ(observed, 0) << "token " << token;
      continue;
    }
    const double expected = draws * weights[token] / total;
    statistic += (observed - expected) * (observed - expected) / expected;
  }
  return statistic;
}

constexpr int kDraws = 20000;
// Upper 0.1% point of chi-square with 4 degrees of freedom; the seed is fixed, so a pass stays a pass.
constexpr double kChiSquare4 = 18.47;
constexpr double kChiSquare2 = 13.82;  // and with 2

TEST(TokenSampler, IsGreedyAtTemperatureZero) {
  for (const double uniform : {0.0, 0.5, 0.999}) {
    EXPECT_EQ(choose({.temperature = 0}, {1, 5, 3}, uniform), 1);
    EXPECT_EQ(choose({.temperature = 0}, {5, 1, 5}, uniform), 0) << "ties go to the lowest id";
  }
}

TEST(TokenSampler, DrawsInProportionToTheSoftmax) {
  const std::vector<float> logits = {std::log(1.0F), std::log(2.0F), std::log(3.0F), std::log(4.0F), std::log(10.0F)};
  EXPECT_LT(chi_square(count({}, logits, kDraws), {1, 2, 3, 4, 10}, kDraws), kChiSquare4);
}

TEST(TokenSampler, DividesByTheTemperature) {
  const std::vector<float> logits = {std::log(1.0F), std::log(2.0F), std::log(3.0F), std::log(4.0F), std::log(10.0F)};
  EXPECT_LT(chi_square(count({.temperature = 0.5}, logits, kDraws), {1, 4, 9, 16, 100}, kDraws), kChiSquare4);
}

TEST(TokenSampler, KeepsTheKLikeliest) {
  const std::vector<float> logits = {std::log(4.0F), std::log(1.0F), std::log(3.0F), std::log(2.0F), std::log(10.0F)};
  EXPECT_LT(chi_square(count({.top_k = 3}, logits, kDraws), {4, 0, 3, 0, 10}, kDraws), kChiSquare2);
  EXPECT_EQ(count({.top_k = 1}, logits, 100), (std::map<std::int32_t, int>{{4, 100}}));
  EXPECT_LT(chi_square(count({.top_k = 99}, logits, kDraws), {4, 1, 3, 2, 10}, kDraws), kChiSquare4);
}

TEST(TokenSampler, BreaksTiesAtTheCutByTheLowestId) {
  EXPECT_EQ(count({.top_k = 1}, {2, 2, 2}, 100), (std::map<std::int32_t, int>{{0, 100}}));
}

TEST(TokenSampler, KeepsTheSmallestSetThatReachesTopP) {
  const std::vector<float> logits = {std::log(4.0F), std::log(1.0F), std::log(3.0F), std::log(2.0F), std::log(10.0F)};
  // 10 of 20 is 0.5; with 4 it is 0.7, with 3 it is 0.85.
  EXPECT_LT(chi_square(count({.top_p = 0.8}, logits, kDraws), {4, 0, 3, 0, 10}, kDraws), kChiSquare2);
  EXPECT_EQ(count({.top_p = 0.4}, logits, 100), (std::map<std::int32_t, int>{{4, 100}}));
  EXPECT_EQ(count({.top_p = 1e-9}, logits, 100), (std::map<std::int32_t, int>{{4, 100}})) << "one always stays";
  EXPECT_LT(chi_square(count({.top_p = 1}, logits, kDraws), {4, 1, 3, 2, 10}, kDraws), kChiSquare4);
}

TEST(TokenSampler, AppliesTopPToWhatTopKLeaves) {
  const std::vector<float> logits = {std::log(4.0F), std::log(1.0F), std::log(3.0F), std::log(2.0F), std::log(10.0F)};
  // Of 4 and 10, the 10 alone has 0.71.
  EXPECT_EQ(count({.top_k = 2, .top_p = 0.7}, logits, 100), (std::map<std::int32_t, int>{{4, 100}}));
}

TEST(TokenSampler, PenalisesWhatWasSeenOnce) {
  const SamplingOptions greedy{.temperature = 0, .repetition_penalty = 2};
  EXPECT_EQ(choose(greedy, {3, 2, 1}, 0, {0}), 1) << "3 / 2 is below 2";
  EXPECT_EQ(choose(greedy, {3, 1, 1}, 0, {0, 0, 0}), 0) << "3 / 2 is above 1: a token counts once";
  EXPECT_EQ(choose(greedy, {-1, -1.5, -3}, 0, {0}), 1) << "-1 * 2 is below -1.5";
  EXPECT_EQ(choose(greedy, {3, 2, 1}, 0, {7}), 0) << "ids beyond the choices change nothing";
}

TEST(TokenSampler, GivesTheSameTokenForTheSameNumber) {
  TokenSampler sampler({.temperature = 1, .top_k = 3, .top_p = 0.9});
  const std::vector<float> logits = {0.1F, 0.4F, 0.2F, 0.3F};
  const std::int32_t first = sampler.choose(logits, kNoHistory, 0.4);
  (void)sampler.choose({{9, 9, 9}}, kNoHistory, 0.1);
  EXPECT_EQ(sampler.choose(logits, kNoHistory, 0.4), first);
}

TEST(TokenSampler, NeverDrawsWhatHasNoProbability) {
  for (const double uniform : {0.0, 0.3, 0.6, 0.999999}) {
    EXPECT_EQ(choose({}, {-kInfinity, 2, -kInfinity}, uniform), 1);
    EXPECT_EQ(choose({}, {kNan, 2, kNan}, uniform), 1);
    EXPECT_EQ(choose({}, {0, kInfinity, 0}, uniform), 1);
  }
}

TEST(TokenSampler, SurvivesLogitsOfADivergedModel) {
  const std::vector<float> nans(50, kNan);
  for (const double temperature : {0.0, 1.0}) {
    const std::int32_t token = choose({.temperature = temperature, .top_k = 10, .top_p = 0.5}, nans, 0.5);
    EXPECT_GE(token, 0);
    EXPECT_LT(token, 50);
  }
}

TEST(TokenSampler, RefusesOptionsOutOfRangeByName) {
  EXPECT_THAT(user_error_of([] { TokenSampler({.temperature = -1}); }), HasSubstr("temperature"));
  EXPECT_THAT(user_error_of([] { TokenSampler({.temperature = std::nan("")}); }), HasSubstr("temperature"));
  EXPECT_THAT(user_error_of([] { TokenSampler({.top_k = -1}); }), HasSubstr("top_k"));
  EXPECT_THAT(user_error_of([] { TokenSampler({.top_p = 1.5}); }), HasSubstr("top_p is 1.5"));
  EXPECT_THAT(user_error_of([] { TokenSampler({.top_p = 0}); }), HasSubstr("top_p"));
  EXPECT_THAT(user_error_of([] { TokenSampler({.top_p = std::nan("")}); }), HasSubstr("top_p"));
  EXPECT_THAT(user_error_of([] { TokenSampler({.repetition_penalty = 0}); }), HasSubstr("repetition_penalty"));
}

}  // namespace
}  // namespace virgil
