#include "run_report/run_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "run_report/axis.h"
#include "run_report/html_text.h"
#include "virgil/base/format.h"
#include "virgil/memory/memory_resource.h"
#include "virgil/run_report/run_digest.h"

namespace virgil {

namespace {

constexpr std::size_t kColumns = 700;  // that a plot has at most, about
constexpr std::size_t kMostFaint = 3;  // runs whose raw figures are drawn behind the smoothed ones
constexpr std::size_t kMostMarks = 40;
constexpr std::size_t kLongestName = 40;

/// What the places on the x axis are divided by, and their name.
struct Places {
  Abscissa abscissa = Abscissa::kStep;
  double unit = 1;
  std::string label = "step";
};

Places places_of(const std::vector<RunHistory>& runs, Abscissa abscissa) {
  double last = 0;
  for (const RunHistory& run : runs) {
    for (std::size_t row = run.rows(); row-- > 0;) {
      const std::optional<double> x = abscissa_of(run, abscissa, row);
      if (!x) continue;
      last = std::max(last, *x);
      break;
    }
  }
  switch (abscissa) {
    case Abscissa::kStep:
      break;
    case Abscissa::kTokens:
      if (last >= 1e10) return {abscissa, 1e9, "billions of tokens"};
      if (last >= 1e7) return {abscissa, 1e6, "millions of tokens"};
      return {abscissa, 1, "tokens"};
    case Abscissa::kTime:
      if (last >= 2 * 3600) return {abscissa, 3600, "hours of training"};
      if (last >= 120) return {abscissa, 60, "minutes of training"};
      return {abscissa, 1, "seconds of training"};
  }
  return {abscissa, 1, "step"};
}

/// A line of a run, before it is thinned out.
template <typename Value>
std::vector<Point> line_of(const RunHistory& run, const Places& places, const Value& value) {
  std::vector<Point> points = points_of(run, places.abscissa, value);
  for (Point& point : points) point.x /= places.unit;
  return points;
}

std::vector<Point> line_of(const RunHistory& run, const Places& places, Figure figure) {
  return line_of(run, places, [&](std::size_t row) { return run.at(figure, row); });
}

std::vector<Point> thinned(const std::vector<Point>& points) {
  if (points.empty()) return points;
  return without_level_points(visible_points(points, points.front().x, points.back().x, kColumns));
}

std::string figure_text(const std::optional<double>& value) { return value ? value_text(*value, 5) : "none"; }

/// "final 1.4471".
std::string final_note(const std::vector<Point>& points, int digits) {
  if (points.empty()) return "";
  return fmt::format("final {}", value_text(points.back().y, digits));
}

std::string name_in(const std::vector<RunHistory>& runs, const RunHistory& run, const std::string& what) {
  return runs.size() == 1 ? what : fmt::format("{}{}", short_name(run.name, kLongestName), what.empty() ? "" : ": " + what);
}

/// Where what the run computed was NaN or infinite: a mark for each stretch of rows.
void mark_non_finite(const RunHistory& run, const Places& places, Figure figure, const std::string& what, Chart& chart) {
  std::size_t marks = 0;
  bool goes_on = false;
  for (std::size_t row = 0; row < run.rows() && marks < kMostMarks; ++row) {
    const std::optional<double> value = run.at(figure, row);
    if (!value) continue;
    const std::optional<double> x = abscissa_of(run, places.abscissa, row);
    if (std::isfinite(*value) || !x || !is_plottable(*x)) {
      goes_on = goes_on && !std::isfinite(*value);
      continue;
    }
    const std::string step = format_count(run.steps[row]);
    if (goes_on) {
      ChartMark& mark = chart.marks.back();
      mark.title = mark.title.substr(0, mark.title.rfind(" to ")) + " to " + step;
      continue;
    }
    goes_on = true;
    ++marks;
    chart.marks.push_back({.kind = ChartMark::Kind::kNotFinite,
                           .x = *x / places.unit,
                           .title = fmt::format("{}: {} is {} at step {}", run.name, what, value_text(*value, 5), step)});
  }
}

void add_losses(const std::vector<RunHistory>& runs, std::size_t index, const Places& places, Chart& chart) {
  const RunHistory& run = runs[index];
  const RunDigest digest = digest_of(run);
  const std::size_t val_colour = runs.size() == 1 ? 1 : index;
  const std::vector<std::optional<double>> smoothed = smoothed_losses(run);
  const std::vector<Point> mean = line_of(run, places, [&](std::size_t row) { return smoothed[row]; });
  chart.lines.push_back({.label = name_in(runs, run, runs.size() == 1 ? "train, smoothed" : "train"),
                         .note = digest.final_smoothed ? fmt::format("final {}", figure_text(digest.final_smoothed)) : "",
                         .colour = index,
                         .points = thinned(mean)});
  const std::vector<Point> validation = line_of(run, places, Figure::kValLoss);
  if (validation.empty()) return;
  std::string note;
  if (digest.best_val_loss) {
    note = fmt::format("best {} at step {}", figure_text(digest.best_val_loss), format_count(digest.best_step));
    if (digest.final_val_loss != digest.best_val_loss) note += fmt::format(", final {}", figure_text(digest.final_val_loss));
  }
  chart.lines.push_back({.label = name_in(runs, run, "validation"),
                         .note = note,
                         .colour = val_colour,
                         .look = ChartLine::Look::kDashed,
                         .points = thinned(validation)});
  const std::optional<double> best_x =
      digest.best_val_loss ? abscissa_of(run, places.abscissa, digest.best_row) : std::optional<double>();
  if (best_x && is_plottable(*best_x) && is_plottable(*digest.best_val_loss)) {
    chart.marks.push_back({.kind = ChartMark::Kind::kBest,
                           .x = *best_x / places.unit,
                           .y = *digest.best_val_loss,
                           .colour = val_colour,
                           .label = runs.size() == 1 ? fmt::format("best {}", figure_text(digest.best_val_loss)) : "",
                           .title = fmt::format("{}: {}", run.name, note)});
  }
}

std::vector<std::vector<Point>> points_in(const Chart& chart) {
  std::vector<std::vector<Point>> lines;
  for (const ChartLine& line : chart.lines) lines.push_back(line.points);
  return lines;
}

/// A figure of all runs; `smooth` draws its mean over it.
Chart figure_chart(const std::vector<RunHistory>& runs, const Places& places, Figure figure, std::string title,
                   std::string unit, bool smooth) {
  Chart chart{.title = std::move(title), .unit = std::move(unit), .x_label = places.label, .from_zero = true};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::vector<Point> points = line_of(runs[i], places, figure);
    if (points.empty()) continue;
    const std::vector<Point> mean = smooth ? smoothed_points(points) : points;
    if (smooth && runs.size() <= kMostFaint) {
      chart.lines.push_back({.label = name_in(runs, runs[i], "each step"),
                             .colour = i,
                             .look = ChartLine::Look::kFaint,
                             .points = thinned(points),
                             .in_legend = false});
    }
    chart.lines.push_back({.label = name_in(runs, runs[i],
                                            runs.size() > 1 ? ""
                                            : smooth        ? "smoothed"
                                                            : chart.title),
                           .note = final_note(mean, 4),
                           .colour = i,
                           .points = thinned(mean)});
  }
  return chart;
}

/// The gradient_clip of the runs where it is one for all.
std::optional<double> common_clip(const std::vector<RunHistory>& runs) {
  std::optional<std::string> clip;
  for (const RunHistory& run : runs) {
    const auto found = std::ranges::find(run.config, std::string("grad_clip"), &std::pair<std::string, std::string>::first);
    if (found == run.config.end() || (clip && *clip != found->second)) return std::nullopt;
    clip = found->second;
  }
  const double value = std::strtod(clip->c_str(), nullptr);
  return value > 0 && value < 1e6 ? std::optional(value) : std::nullopt;
}

Chart norm_chart(const std::vector<RunHistory>& runs, const Places& places) {
  Chart chart = figure_chart(runs, places, Figure::kGradNorm, "Gradient norm", "before clipping", true);
  chart.is_log = wants_log(points_in(chart));
  chart.from_zero = !chart.is_log;
  if (chart.is_log) chart.unit += ", logarithmic";
  for (const RunHistory& run : runs) mark_non_finite(run, places, Figure::kGradNorm, "the gradient's norm", chart);
  const std::optional<double> clip = common_clip(runs);
  if (clip && !chart.empty()) chart.levels.push_back({.y = *clip, .label = fmt::format("clipped at {}", value_text(*clip, 2))});
  return chart;
}

struct ByteUnit {
  double bytes;
  const char* name;
};

ByteUnit byte_unit(double largest) {
  if (largest >= 1 << 30) return {1 << 30, "GiB"};
  return {1 << 20, "MiB"};
}

std::string bytes_text(double bytes) {
  return bytes >= 0 && bytes < 9e18 ? format_bytes(static_cast<std::int64_t>(bytes)) : "?";
}

double sound_bytes(const std::optional<double>& bytes) { return bytes && *bytes > 0 && is_plottable(*bytes) ? *bytes : 0; }

void add_bands(const RunHistory& run, const Places& places, double unit, Chart& chart) {
  std::vector<double> below(run.rows(), 0);
  for (const MemoryCategory category : kAllMemoryCategories) {
    const FigureColumn& column = run.memory[static_cast<std::size_t>(category)];
    double most = 0;
    for (std::size_t row = 0; row < run.rows(); ++row) most = std::max(most, sound_bytes(column.at(row)));
    if (most == 0) continue;
    ChartBand band{.label = std::string(name_of(category)),
                   .note = bytes_text(most),
                   .colour = static_cast<std::size_t>(category),
                   .lower = {},
                   .upper = {}};
    const auto has_memory = [&](std::size_t row) { return run.at(Figure::kLoss, row).has_value(); };
    const auto lower = [&](std::size_t row) { return has_memory(row) ? std::optional(below[row] / unit) : std::nullopt; };
    band.lower = thinned(line_of(run, places, lower));
    for (std::size_t row = 0; row < run.rows(); ++row) below[row] += sound_bytes(column.at(row));
    band.upper = thinned(line_of(run, places, lower));
    chart.bands.push_back(std::move(band));
  }
}

/// The plan over the rows: it changes where a session began.
std::vector<Point> plan_line(const RunHistory& run, const Places& places, double unit) {
  std::size_t next = 0;
  std::optional<double> planned;
  return line_of(run, places, [&](std::size_t row) -> std::optional<double> {
    while (next < run.plans.size() && run.plans[next].first_step <= run.steps[row]) {
      planned = static_cast<double>(run.plans[next++].total_bytes) / unit;
    }
    return planned;
  });
}

}  // namespace

Chart loss_chart(const std::vector<RunHistory>& runs, Abscissa abscissa) {
  const Places places = places_of(runs, abscissa);
  Chart chart{.title = "Loss", .unit = "nats per token", .x_label = places.label};
  if (runs.size() <= kMostFaint) {
    for (std::size_t i = 0; i < runs.size(); ++i) {
      chart.lines.push_back(
          {.label = name_in(runs, runs[i], runs.size() == 1 ? "train" : "train, each step"),
           .note = runs.size() == 1 ? fmt::format("final {}", figure_text(digest_of(runs[i]).final_loss)) : "",
           .colour = i,
           .look = ChartLine::Look::kFaint,
           .points = thinned(line_of(runs[i], places, Figure::kLoss)),
           .in_legend = runs.size() == 1});
    }
  }
  for (std::size_t i = 0; i < runs.size(); ++i) add_losses(runs, i, places, chart);
  for (const RunHistory& run : runs) {
    mark_non_finite(run, places, Figure::kLoss, "the loss", chart);
    mark_non_finite(run, places, Figure::kValLoss, "the validation loss", chart);
  }
  chart.is_log = wants_log(points_in(chart));
  if (chart.is_log) chart.unit += ", logarithmic";
  return chart;
}

std::vector<Chart> figure_charts(const std::vector<RunHistory>& runs, Abscissa abscissa) {
  const Places places = places_of(runs, abscissa);
  std::vector<Chart> charts;
  const auto add = [&](Chart chart) {
    if (!chart.empty()) charts.push_back(std::move(chart));
  };
  add(figure_chart(runs, places, Figure::kLearningRate, "Learning rate", "", false));
  add(norm_chart(runs, places));
  add(figure_chart(runs, places, Figure::kTokensPerS, "Speed", "tokens/s", true));
  add(figure_chart(runs, places, Figure::kLossScale, "Loss scale", "of float16", false));
  return charts;
}

Chart memory_chart(const RunHistory& run, std::size_t num_runs, Abscissa abscissa) {
  const Places places = places_of({run}, abscissa);
  double largest = 0;
  for (std::size_t row = 0; row < run.rows(); ++row) {
    for (const Figure figure : {Figure::kMemAllocated, Figure::kMemProcess, Figure::kMemDevice}) {
      largest = std::max(largest, sound_bytes(run.at(figure, row)));
    }
  }
  for (const PlanFromStep& plan : run.plans) largest = std::max(largest, static_cast<double>(plan.total_bytes));
  const ByteUnit unit = byte_unit(largest);
  Chart chart{.title = num_runs == 1 ? "Memory" : fmt::format("Memory of {}", short_name(run.name, kLongestName)),
              .unit = unit.name,
              .x_label = places.label,
              .from_zero = true};
  const std::vector<Point> plan = plan_line(run, places, unit.bytes);
  if (!plan.empty()) {
    chart.lines.push_back({.label = "planned",
                           .note = bytes_text(plan.back().y * unit.bytes),
                           .look = ChartLine::Look::kPlan,
                           .points = thinned(plan)});
  }
  const auto add_system_line = [&](Figure figure, const char* label, std::size_t colour) {
    const auto value = [&](std::size_t row) -> std::optional<double> {
      const double bytes = sound_bytes(run.at(figure, row));
      return bytes > 0 ? std::optional(bytes / unit.bytes) : std::nullopt;
    };
    const std::vector<Point> points = line_of(run, places, value);
    if (points.empty()) return;
    chart.lines.push_back(
        {.label = label, .note = bytes_text(points.back().y * unit.bytes), .colour = colour, .points = thinned(points)});
  };
  add_bands(run, places, unit.bytes, chart);
  add_system_line(Figure::kMemProcess, "process, resident", 1);
  add_system_line(Figure::kMemDevice, "device, used", 2);
  return chart;
}

}  // namespace virgil
