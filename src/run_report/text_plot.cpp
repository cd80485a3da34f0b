#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "run_report/axis.h"
#include "run_report/chart.h"
#include "run_report/html_text.h"
#include "run_report/run_charts.h"
#include "virgil/base/terminal.h"
#include "virgil/base/utf8.h"
#include "virgil/run_report/report_page.h"

namespace virgil {

namespace {

/// A line of the chart as it is drawn: with dots of braille, or with a letter in each place.
struct Stroke {
  const ChartLine* line;
  std::string glyph;  // of its points where they stand alone, and in the legend
  std::string_view colour;
  bool is_dots;  // points alone, not joined
};

constexpr std::array<std::string_view, 6> kTerminalColours = {"\x1b[34m", "\x1b[33m", "\x1b[32m",
                                                              "\x1b[35m", "\x1b[36m", "\x1b[31m"};

/// The plot's places: 2 x 4 dots of braille in each, or what stands there.
class Canvas {
 public:
  Canvas(std::size_t columns, std::size_t rows) : columns_(columns), rows_(rows), cells_(columns * rows) {}

  [[nodiscard]] double width() const { return static_cast<double>(columns_ * 2 - 1); }
  [[nodiscard]] double height() const { return static_cast<double>(rows_ * 4 - 1); }

  /// In dots from the upper left.
  void dot(double x, double y, const Stroke& stroke, bool as_glyph) {
    const auto dot_x = static_cast<std::size_t>(std::clamp(std::lround(x), 0L, std::lround(width())));
    const auto dot_y = static_cast<std::size_t>(std::clamp(std::lround(y), 0L, std::lround(height())));
    Cell& cell = cells_[dot_y / 4 * columns_ + dot_x / 2];
    constexpr std::uint8_t kBits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    if (as_glyph) {
      cell.glyph = stroke.glyph;
    } else {
      cell.dots |= kBits[dot_y % 4][dot_x % 2];
    }
    cell.colour = stroke.colour;
  }

  [[nodiscard]] std::string row(std::size_t row, bool colours) const {
    std::string text;
    std::size_t end = columns_;
    while (end > 0 && cells_[row * columns_ + end - 1].empty()) --end;
    std::string_view current;
    for (std::size_t i = 0; i < end; ++i) {
      const Cell& cell = cells_[row * columns_ + i];
      const std::string_view colour = cell.empty() ? std::string_view() : cell.colour;
      if (colours && colour != current) text += colour.empty() ? kPlainText : colour;
      current = colour;
      if (!cell.glyph.empty()) {
        text += cell.glyph;
      } else if (cell.dots != 0) {
        append_utf8(text, 0x2800U + cell.dots);
      } else {
        text += ' ';
      }
    }
    if (colours && !current.empty()) text += kPlainText;
    return text;
  }

 private:
  struct Cell {
    std::uint8_t dots = 0;
    std::string glyph;
    std::string_view colour;
    [[nodiscard]] bool empty() const { return dots == 0 && glyph.empty(); }
  };
  std::size_t columns_;
  std::size_t rows_;
  std::vector<Cell> cells_;
};

/// The lines that are to be read: with several runs without colours, a letter for each.
std::vector<Stroke> strokes_of(const Chart& chart, std::size_t num_runs, const TextPlotStyle& style) {
  std::vector<Stroke> strokes;
  for (const ChartLine& line : chart.lines) {
    if (line.look == ChartLine::Look::kFaint) continue;
    const bool is_validation = line.look == ChartLine::Look::kDashed;
    std::string glyph;
    if (num_runs == 1) {
      glyph = style.unicode ? (is_validation ? "●" : "⠒") : (is_validation ? "o" : ".");
    } else {
      glyph = std::string(1, static_cast<char>((is_validation ? 'A' : 'a') + line.colour % 26));
    }
    strokes.push_back({&line, glyph, kTerminalColours[line.colour % kTerminalColours.size()], is_validation});
  }
  return strokes;
}

struct Scale {
  Axis x, y;
};

std::optional<Scale> scale_of(const Chart& chart, const std::vector<Stroke>& strokes, const TextPlotStyle& style) {
  std::vector<double> xs;
  std::vector<double> ys;
  for (const Stroke& stroke : strokes) {
    for (const Point& point : stroke.line->points) {
      if (!std::isfinite(point.y) || (chart.is_log && !(point.y > 0))) continue;
      xs.push_back(point.x);
      ys.push_back(point.y);
    }
  }
  if (xs.empty()) return std::nullopt;
  const auto [x_low, x_high] = std::ranges::minmax(xs);
  const auto [y_low, y_high] = std::ranges::minmax(ys);
  const int y_ticks = std::max(2, style.rows / 3);
  return Scale{linear_axis(x_low, x_high, std::max(2, style.columns / 16), AxisEnds::kExact),
               chart.is_log ? log_axis(y_low, y_high, y_ticks) : linear_axis(y_low, y_high, y_ticks, AxisEnds::kExact)};
}

void draw_stroke(Canvas& canvas, const Scale& scale, const Chart& chart, const Stroke& stroke, bool as_glyph) {
  bool is_open = false;  // a line from the last point goes on
  double last_x = 0;
  double last_y = 0;
  for (const Point& point : stroke.line->points) {
    if (!std::isfinite(point.y) || (chart.is_log && !(point.y > 0))) {
      is_open = false;
      continue;
    }
    const double x = scale.x.place(point.x) * canvas.width();
    const double y = (1 - scale.y.place(point.y)) * canvas.height();
    if (!is_open || stroke.is_dots) {
      last_x = x;
      last_y = y;
    }
    const double steps = std::max(1.0, std::ceil(std::max(std::abs(x - last_x), std::abs(y - last_y))));
    for (double i = 0; i <= steps; ++i) {
      canvas.dot(last_x + (x - last_x) * i / steps, last_y + (y - last_y) * i / steps, stroke, as_glyph);
    }
    is_open = true;
    last_x = x;
    last_y = y;
  }
}

/// The line of labels below the plot; those that would touch are left out.
std::string labels_below(const Axis& x, std::size_t left, std::size_t columns) {
  std::string line(left + columns, ' ');
  std::size_t free_from = 0;
  for (const Tick& tick : x.ticks) {
    const auto at = left + static_cast<std::size_t>(std::lround(x.place(tick.value) * static_cast<double>(columns - 1)));
    const std::size_t length = tick.label.size();
    std::size_t begin = at > length / 2 ? at - length / 2 : 0;
    begin = std::min(begin, line.size() - std::min(line.size(), length));
    if (begin < free_from) continue;
    line.replace(begin, length, tick.label);
    free_from = begin + length + 2;
  }
  line.resize(line.find_last_not_of(' ') + 1);
  return line;
}

std::string ascii_only(std::string text) {
  for (const auto& [from, to] : {std::pair<std::string_view, std::string_view>{"…", ".."}, {"∞", "inf"}, {"–", "-"}}) {
    for (std::size_t at = text.find(from); at != text.npos; at = text.find(from)) text.replace(at, from.size(), to);
  }
  for (char& c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  }
  return text;
}

}  // namespace

std::string text_plot(const std::vector<RunHistory>& runs, Abscissa abscissa, const TextPlotStyle& style) {
  const Chart chart = loss_chart(runs, abscissa);
  const std::vector<Stroke> strokes = strokes_of(chart, runs.size(), style);
  const std::optional<Scale> scale = scale_of(chart, strokes, style);
  std::string out = fmt::format(
      "{}: loss, {}\n", runs.size() == 1 ? short_name(runs.front().name, 60) : fmt::format("{} runs", runs.size()), chart.unit);
  if (!scale) return out + "no loss that is finite\n";
  std::size_t label_width = 0;
  for (const Tick& tick : scale->y.ticks) label_width = std::max(label_width, tick.label.size());
  const std::size_t left = label_width + 2;
  const auto columns = static_cast<std::size_t>(std::max(20, style.columns - static_cast<int>(left)));
  const auto rows = static_cast<std::size_t>(style.rows);
  Canvas canvas(columns, rows);
  const bool glyphs_only = !style.unicode || (runs.size() > 1 && !style.colours);
  for (const Stroke& stroke : strokes) draw_stroke(canvas, *scale, chart, stroke, glyphs_only || stroke.is_dots);
  std::vector<std::string> labels(rows);
  for (const Tick& tick : scale->y.ticks) {
    const double place = (1 - scale->y.place(tick.value)) * static_cast<double>(rows - 1);
    labels[static_cast<std::size_t>(std::clamp(std::lround(place), 0L, static_cast<long>(rows) - 1))] = tick.label;
  }
  for (std::size_t row = 0; row < rows; ++row) {
    const std::string_view edge = style.unicode ? (labels[row].empty() ? "│" : "┤") : (labels[row].empty() ? "|" : "+");
    out += fmt::format("{:>{}} {}{}\n", labels[row], label_width, edge, canvas.row(row, style.colours));
  }
  std::string line;
  for (std::size_t i = 0; i < columns; ++i) line += style.unicode ? "─" : "-";
  out += fmt::format("{:>{}} {}{}\n", "", label_width, style.unicode ? "└" : "+", line);
  out += labels_below(scale->x, left, columns) + "\n";
  out += fmt::format("{:>{}}\n", chart.x_label, left + columns);
  for (const Stroke& stroke : strokes) {
    const std::string mark =
        style.colours ? fmt::format("{}{}{}", stroke.colour, stroke.is_dots || glyphs_only ? stroke.glyph : "──", kPlainText)
                      : stroke.glyph;
    out += fmt::format("  {} {}{}{}\n", mark, stroke.line->label, stroke.line->note.empty() ? "" : "  ", stroke.line->note);
  }
  return style.unicode ? out : ascii_only(out);
}

}  // namespace virgil
