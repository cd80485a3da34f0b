// A step in one line of a terminal, whatever its width.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "virgil/base/progress.h"
#include "virgil/base/terminal.h"
#include "virgil/train/loss_history.h"
#include "virgil/train/metrics.h"

namespace virgil {

/// What has been done since the figures of the last step.
struct WorkUnderWay {
  double step_share = 0;  // of the next step, below 1
  std::int64_t micro_step = 0;
  std::int64_t micro_steps = 0;          // 0 or 1: there is nothing to say of them
  std::optional<PhaseProgress> phase{};  // other work than a step: an evaluation
  double remaining_s = 0;                // of the run; 0: unknown
};

/// Percent and bar, step, smoothed loss and its curve, tokens/s, memory (held / peak / planned), time left; on wider terminals
/// longer forms and the rest. At most columns - 1 wide; on a terminal too narrow for all, what matters least is left out. With
/// the step's loss in `history`. With `work` it goes on from there. A step that took no time (elapsed_ms 0) stands for the time
/// before the first: it has no figures.
[[nodiscard]] std::string format_live_line(const StepMetrics& metrics, const LossHistory& history, const TerminalStyle& style,
                                           const WorkUnderWay* work = nullptr);
/// The same without a bar: a line that stays.
[[nodiscard]] std::string format_lasting_line(const StepMetrics& metrics, const LossHistory& history,
                                              const TerminalStyle& style);

/// "45%" of `width` columns filled.
[[nodiscard]] std::string progress_bar(double share, std::size_t width, bool unicode);
/// A column for each point, as high as it is between the lowest and the highest.
[[nodiscard]] std::string sparkline(std::span<const double> points, bool unicode);

}  // namespace virgil
