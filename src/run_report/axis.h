// Axes with ticks that people read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace virgil {

/// Whether a value can be placed on an axis: finite, and not so large that differences overflow.
[[nodiscard]] bool is_plottable(double value);

struct Tick {
  double value = 0;
  std::string label;  // "1,500", "0.0005", "2e-5"
};

struct Axis {
  double low = 0;
  double high = 1;
  bool is_log = false;
  std::vector<Tick> ticks;  // within low and high

  /// 0 at `low`, 1 at `high`; the value is plottable and, on a logarithmic axis, positive.
  [[nodiscard]] double place(double value) const;
};

enum class AxisEnds : std::uint8_t { kExact, kRound };

/// At most about `most_ticks` ticks at 1, 2 or 5 times a power of ten; kRound widens the axis to ticks. Values that are all the
/// same get an axis around them.
[[nodiscard]] Axis linear_axis(double low, double high, int most_ticks, AxisEnds ends);
/// Ticks at powers of ten, and at 2 and 5 times those where there are few. 0 < low <= high.
[[nodiscard]] Axis log_axis(double low, double high, int most_ticks);

/// A value for people: thousands separated, trailing zeros kept to `decimals`.
[[nodiscard]] std::string number_text(double value, int decimals);
/// A value with about `digits` significant digits.
[[nodiscard]] std::string value_text(double value, int digits);

}  // namespace virgil
