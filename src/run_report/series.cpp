#include "run_report/series.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "run_report/axis.h"
#include "virgil/train/loss_history.h"

namespace virgil {

std::optional<double> abscissa_of(const RunHistory& run, Abscissa abscissa, std::size_t row) {
  switch (abscissa) {
    case Abscissa::kStep:
      return static_cast<double>(run.steps[row]);
    case Abscissa::kTokens: {
      const std::optional<double> tokens = run.at(Figure::kTokens, row);
      if (tokens || row == 0 || run.at(Figure::kLoss, row)) return tokens;
      return run.at(Figure::kTokens, row - 1);  // the evaluation after the last step
    }
    case Abscissa::kTime:
      return run.elapsed_s[row];
  }
  return std::nullopt;
}

std::vector<Point> points_of(const RunHistory& run, Abscissa abscissa,
                             const std::function<std::optional<double>(std::size_t row)>& value) {
  std::vector<Point> points;
  double last_x = -std::numeric_limits<double>::infinity();
  for (std::size_t row = 0; row < run.rows(); ++row) {
    const std::optional<double> y = value(row);
    if (!y) continue;
    const std::optional<double> x = abscissa_of(run, abscissa, row);
    if (!x || !is_plottable(*x) || *x < last_x) continue;
    last_x = *x;
    points.push_back({*x, is_plottable(*y) ? *y : kGap});
  }
  return points;
}

namespace {

/// What a column of pixels shows.
class ColumnOfPoints {
 public:
  void add(const Point& point) {
    if (!std::isfinite(point.y)) {
      gap_ = point;
      return;
    }
    if (count_++ == 0) {
      first_ = lowest_ = highest_ = last_ = point;
      return;
    }
    last_ = point;
    if (point.y < lowest_.y) lowest_ = point;
    if (point.y > highest_.y) highest_ = point;
  }
  void finish(std::vector<Point>& out) {
    if (count_ == 0 && gap_) out.push_back(*gap_);
    if (count_ > 0) {
      std::vector<Point> points = {first_, lowest_, highest_, last_};
      std::ranges::stable_sort(points, {}, &Point::x);
      points.erase(std::unique(points.begin(), points.end()), points.end());
      out.insert(out.end(), points.begin(), points.end());
    }
    *this = {};
  }

 private:
  Point first_, lowest_, highest_, last_;
  std::optional<Point> gap_;
  std::size_t count_ = 0;
};

}  // namespace

std::vector<Point> visible_points(const std::vector<Point>& points, double low, double high, std::size_t columns) {
  if (points.size() <= 4 * columns || !(high > low)) return points;
  std::vector<Point> visible;
  ColumnOfPoints column;
  std::size_t current = 0;
  for (const Point& point : points) {
    const double part = std::clamp((point.x - low) / (high - low), 0.0, 1.0) * static_cast<double>(columns);
    const std::size_t at = std::min(columns - 1, static_cast<std::size_t>(part));
    if (at != current) column.finish(visible);
    current = at;
    column.add(point);
  }
  column.finish(visible);
  return visible;
}

std::vector<Point> without_level_points(const std::vector<Point>& points) {
  std::vector<Point> kept;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const bool is_between = i > 0 && i + 1 < points.size();
    if (is_between && points[i - 1].y == points[i].y && points[i].y == points[i + 1].y) continue;
    kept.push_back(points[i]);
  }
  return kept;
}

std::vector<Point> smoothed_points(const std::vector<Point>& points) {
  LossHistory mean;
  std::vector<Point> smoothed;
  smoothed.reserve(points.size());
  for (const Point& point : points) {
    mean.add(point.y);
    const bool has_value = std::isfinite(point.y) && !mean.empty();
    smoothed.push_back({point.x, has_value ? mean.smoothed() : kGap});
  }
  return smoothed;
}

bool wants_log(const std::vector<std::vector<Point>>& lines) {
  constexpr double kFar = 12;
  std::vector<double> values;
  for (const std::vector<Point>& line : lines) {
    for (const Point& point : line) {
      if (!std::isfinite(point.y)) continue;
      if (!(point.y > 0)) return false;
      values.push_back(point.y);
    }
  }
  if (values.size() < 3) return false;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  const double median = *middle;
  return *std::ranges::max_element(values) / kFar > median;
}

}  // namespace virgil
