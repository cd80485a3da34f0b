// A run in a few figures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "virgil/run_report/run_history.h"

namespace virgil {

/// Values that the run does not tell are absent.
struct RunDigest {
  std::int64_t steps = 0;  // done
  std::optional<double> final_loss;
  std::optional<double> final_smoothed;
  std::optional<double> best_val_loss;  // the lowest that is finite
  std::int64_t best_step = 0;
  std::size_t best_row = 0;
  std::optional<double> best_bits_per_byte;
  std::optional<double> final_val_loss;
  double seconds = 0;
  std::optional<double> tokens;
  std::optional<double> passes;        // over the training text
  std::optional<double> tokens_per_s;  // of the steps, without evaluations
  std::optional<double> mfu_percent;
  std::optional<double> peak_bytes;
  std::int64_t planned_bytes = 0;  // the most; 0: not known
  std::optional<double> process_peak_bytes;
  std::int64_t parameters = 0;  // 0: not known
  std::int64_t non_finite_steps = 0;
  std::int64_t skipped_steps = 0;
};

[[nodiscard]] RunDigest digest_of(const RunHistory& run);

/// The smoothed loss of each row that has a loss: the run's own, or where it wrote none the same mean. NaN where the loss is.
[[nodiscard]] std::vector<std::optional<double>> smoothed_losses(const RunHistory& run);

}  // namespace virgil
