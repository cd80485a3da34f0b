#include "bench/loss_result.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <vector>

namespace virgil::bench {

namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

/// Of an even number the mean of the two in the middle.
double median_of(std::vector<double> values) {
  if (values.empty()) return kNever;
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  if (values.size() % 2 == 1) return values[middle];
  return values[middle - 1] + (values[middle] - values[middle - 1]) / 2;
}

std::optional<double> finite(double value) { return std::isfinite(value) ? std::optional(value) : std::nullopt; }

}  // namespace

LossResult loss_result(const RunHistory& run, const LossTarget& target) {
  const double nats_per_bit = std::numbers::ln2 * target.bytes_per_character;
  LossResult result{.best_loss = kNever};
  double tokens = 0;
  for (std::size_t row = 0; row < run.rows(); ++row) {
    // An evaluation is logged with the step that follows it.
    const double loss = nats_per_bit * run.at(Figure::kValBitsPerByte, row).value_or(kNever);
    if (std::isfinite(loss) && result.trained_s <= target.within_s.value_or(kNever)) {
      if (loss < result.best_loss && run.steps[row] > 0) {
        result.best_loss = loss;
        result.best_step = run.steps[row];
      }
      if (!result.seconds && loss <= target.loss && run.steps[row] > 0) {
        result.seconds = result.trained_s;
        result.steps = run.steps[row];
      }
    }
    const std::optional<double> elapsed_ms = run.at(Figure::kElapsedMs, row);
    if (!elapsed_ms) continue;  // the last evaluation's
    result.trained_s += *elapsed_ms / 1000;
    tokens += run.at(Figure::kTokensPerS, row).value_or(0) * *elapsed_ms / 1000;
    ++result.trained_steps;
  }
  if (result.trained_s > 0) result.tokens_per_s = tokens / result.trained_s;
  return result;
}

bool is_decided(const LossResult& result, const LossTarget& target) {
  return target.within_s ? result.trained_s >= *target.within_s : result.seconds.has_value();
}

LossSummary summarize(std::span<const LossResult> results) {
  LossSummary summary{.runs = results.size()};
  std::vector<double> times, steps, losses, rates;
  for (const LossResult& result : results) {
    if (result.seconds) {
      ++summary.reached;
      summary.least_s = std::min(summary.least_s.value_or(kNever), *result.seconds);
      summary.most_s = std::max(summary.most_s.value_or(0), *result.seconds);
    }
    times.push_back(result.seconds.value_or(kNever));
    steps.push_back(result.seconds ? static_cast<double>(result.steps) : kNever);
    losses.push_back(result.best_loss);
    rates.push_back(result.tokens_per_s);
  }
  summary.median_s = finite(median_of(times));
  if (const double median = median_of(steps); std::isfinite(median)) summary.median_steps = std::llround(median);
  summary.median_best_loss = median_of(losses);
  summary.median_tokens_per_s = median_of(rates);
  return summary;
}

}  // namespace virgil::bench
