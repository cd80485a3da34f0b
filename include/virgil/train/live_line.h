// A step in one line of a terminal, whatever its width.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "virgil/base/terminal.h"
#include "virgil/train/loss_history.h"
#include "virgil/train/metrics.h"

namespace virgil {

/// Percent and bar, step, smoothed loss and its curve, tokens/s, memory (held / peak / planned), time left; on wider terminals
/// longer forms and the rest. At most columns - 1 wide; on a terminal too narrow for all, what matters least is left out. With
/// the step's loss in `history`.
[[nodiscard]] std::string format_live_line(const StepMetrics& metrics, const LossHistory& history, const TerminalStyle& style);
/// The same without a bar: a line that stays.
[[nodiscard]] std::string format_lasting_line(const StepMetrics& metrics, const LossHistory& history,
                                              const TerminalStyle& style);

/// "45%" of `width` columns filled.
[[nodiscard]] std::string progress_bar(double share, std::size_t width, bool unicode);
/// A column for each point, as high as it is between the lowest and the highest.
[[nodiscard]] std::string sparkline(std::span<const double> points, bool unicode);

}  // namespace virgil
