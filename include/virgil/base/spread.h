// How far repeated measurements of one thing lie apart, and what they can tell.
#pragma once

#include <cstdint>
#include <vector>

namespace virgil {

/// Order statistics of some measurements, interpolated linearly between the two that are nearest (Hyndman & Fan 1996, type 7,
/// as numpy.quantile has it). All 0 where nothing was measured.
struct Spread {
  std::int64_t count = 0;
  double min = 0;
  double lower = 0;  // quartile
  double median = 0;
  double upper = 0;  // quartile
  double max = 0;

  /// Of the middle half of the measurements, upper - lower.
  [[nodiscard]] double width() const { return upper - lower; }
  /// The width over the median; 0 where the median is 0.
  [[nodiscard]] double relative_width() const { return median == 0 ? 0 : width() / median; }
  /// Whether the median lies further from `other` than the middle half is wide. Less than kFewestToTell measurements tell
  /// nothing: their quartiles are hardly more than themselves.
  [[nodiscard]] bool tells_from(double other) const;
  static constexpr std::int64_t kFewestToTell = 3;
};

/// Of finite values.
[[nodiscard]] Spread spread_of(std::vector<double> values);
[[nodiscard]] double median(std::vector<double> values);

}  // namespace virgil
