#include "virgil/plan/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>

namespace virgil {

namespace {

constexpr double kLeastStepTokens = 1024;
constexpr double kMostStepTokens = 1 << 22;
constexpr double kHighestRate = 3e-3;
constexpr double kLastRate = 1e-5;
constexpr std::int64_t kFewSequences = 16;
constexpr std::int64_t kSequenceStep = 8;  // of larger batches, so that micro-batches of usual sizes divide them

/// To two digits, as people write it, and as the nearest double to these.
double rounded(double value) {
  const std::string text = fmt::format("{:.1e}", value);
  double result = value;
  std::from_chars(text.data(), text.data() + text.size(), result);
  return result;
}

}  // namespace

Recipe recommend_recipe(double block_parameters, double tokens, std::int64_t block_size) {
  const double step_tokens = std::clamp(0.58 * std::pow(tokens, 0.571), kLeastStepTokens, kMostStepTokens);
  auto sequences = std::max<std::int64_t>(1, std::llround(step_tokens / static_cast<double>(block_size)));
  if (sequences > kFewSequences) sequences -= sequences % kSequenceStep;
  const double rate = std::min(kHighestRate, 1.79 * std::pow(block_parameters, -0.713) * std::pow(tokens, 0.307));
  constexpr double kSmallBatch = 1 << 15;
  return {.tokens_per_step = sequences * block_size,
          .learning_rate = rounded(rate),
          .min_lr = std::min(kLastRate, rounded(rate / 10)),
          .beta2 = step_tokens < kSmallBatch ? 0.99 : 0.95};  // small batches want a longer memory of squares
}

}  // namespace virgil
