#include "virgil/run_report/run_digest.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <vector>

#include "virgil/train/loss_history.h"

namespace virgil {

namespace {

void raise(std::optional<double>& highest, std::optional<double> value) {
  if (value && std::isfinite(*value) && (!highest || *value > *highest)) highest = value;
}

void add_evaluation(const RunHistory& run, std::size_t row, RunDigest& digest) {
  const std::optional<double> loss = run.at(Figure::kValLoss, row);
  if (!loss) return;
  digest.final_val_loss = loss;
  if (!std::isfinite(*loss) || (digest.best_val_loss && *loss >= *digest.best_val_loss)) return;
  digest.best_val_loss = loss;
  digest.best_step = run.steps[row];
  digest.best_row = row;
  digest.best_bits_per_byte = run.at(Figure::kValBitsPerByte, row);
}

/// A mean weighted by the time of the steps.
class TimedMean {
 public:
  void add(std::optional<double> value, double ms) {
    if (!value || !std::isfinite(*value) || !(ms > 0) || !std::isfinite(ms)) return;
    sum_ += *value * ms;
    ms_ += ms;
  }
  [[nodiscard]] std::optional<double> mean() const { return ms_ > 0 ? std::optional(sum_ / ms_) : std::nullopt; }

 private:
  double sum_ = 0;
  double ms_ = 0;
};

}  // namespace

RunDigest digest_of(const RunHistory& run) {
  RunDigest digest;
  TimedMean rate;
  TimedMean mfu;
  const std::vector<std::optional<double>> smoothed = smoothed_losses(run);
  for (std::size_t row = 0; row < run.rows(); ++row) {
    add_evaluation(run, row, digest);
    raise(digest.peak_bytes, run.at(Figure::kMemPeak, row));
    raise(digest.process_peak_bytes, run.at(Figure::kMemProcessPeak, row));
    const std::optional<double> loss = run.at(Figure::kLoss, row);
    if (!loss) continue;
    ++digest.steps;
    digest.final_loss = loss;
    if (smoothed[row]) digest.final_smoothed = smoothed[row];
    if (const auto tokens = run.at(Figure::kTokens, row)) digest.tokens = tokens;
    if (const auto passes = run.at(Figure::kEpoch, row)) digest.passes = passes;
    const double ms = run.at(Figure::kElapsedMs, row).value_or(0);
    rate.add(run.at(Figure::kTokensPerS, row), ms);
    mfu.add(run.at(Figure::kMfu, row), ms);
    if (!std::isfinite(*loss) || !std::isfinite(run.at(Figure::kGradNorm, row).value_or(0))) ++digest.non_finite_steps;
    if (run.at(Figure::kUpdated, row).value_or(1) == 0) ++digest.skipped_steps;
  }
  digest.tokens_per_s = rate.mean();
  if (const auto share = mfu.mean()) digest.mfu_percent = 100 * *share;
  digest.seconds = run.elapsed_s.empty() ? 0 : run.elapsed_s.back();
  for (const PlanFromStep& plan : run.plans) digest.planned_bytes = std::max(digest.planned_bytes, plan.total_bytes);
  if (!run.sessions.empty()) digest.parameters = run.sessions.back().parameters;
  return digest;
}

std::vector<std::optional<double>> smoothed_losses(const RunHistory& run) {
  std::vector<std::optional<double>> smoothed(run.rows());
  LossHistory mean;
  for (std::size_t row = 0; row < run.rows(); ++row) {
    const std::optional<double> loss = run.at(Figure::kLoss, row);
    if (!loss) continue;
    mean.add(*loss);
    if (const auto own = run.at(Figure::kLossSmoothed, row)) {
      smoothed[row] = own;
    } else {
      smoothed[row] = std::isfinite(*loss) ? mean.smoothed() : std::numeric_limits<double>::quiet_NaN();
    }
  }
  return smoothed;
}

}  // namespace virgil
