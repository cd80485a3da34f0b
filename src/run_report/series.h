// Points of a plot, as many as can be seen.
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "virgil/run_report/report_page.h"
#include "virgil/run_report/run_history.h"

namespace virgil {

/// A NaN as y is a gap in the line.
struct Point {
  double x = 0;
  double y = 0;
  friend bool operator==(const Point&, const Point&) = default;
};

inline constexpr double kGap = std::numeric_limits<double>::quiet_NaN();

/// The row's place on it, in steps, tokens or seconds of training. Nothing where the run does not say.
[[nodiscard]] std::optional<double> abscissa_of(const RunHistory& run, Abscissa abscissa, std::size_t row);

/// A point for each row that has a value and a place right of all before. Values that cannot be plotted become gaps.
[[nodiscard]] std::vector<Point> points_of(const RunHistory& run, Abscissa abscissa,
                                           const std::function<std::optional<double>(std::size_t row)>& value);

/// At most four points for each of `columns` equal parts of [low, high]: the first, the lowest, the highest and the last in it,
/// which draws the same picture (Jugel et al. 2014, "M4"). A gap stays where a part has points and none of them has a value. As
/// it is where that is no more.
[[nodiscard]] std::vector<Point> visible_points(const std::vector<Point>& points, double low, double high, std::size_t columns);

/// The same line without the points between two others on one level, which it passes anyway.
[[nodiscard]] std::vector<Point> without_level_points(const std::vector<Point>& points);

/// The exponential mean of a line, as metrics.jsonl smooths losses.
[[nodiscard]] std::vector<Point> smoothed_points(const std::vector<Point>& points);

/// Whether a logarithmic axis shows more: all values are positive, and most of them are far below the largest.
[[nodiscard]] bool wants_log(const std::vector<std::vector<Point>>& lines);

}  // namespace virgil
