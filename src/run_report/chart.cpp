#include "run_report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "run_report/axis.h"
#include "run_report/html_text.h"

namespace virgil {

namespace {

constexpr double kFont = 12;
constexpr double kTitleFont = 15;
constexpr double kLegendRow = 18;
constexpr std::size_t kMostDots = 80;
constexpr std::size_t kLongestLabel = 64;

/// About how wide a text is: no font is at hand.
double width_of(std::string_view text, double font = kFont) {
  double width = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0xE0) {
      width += 1.0;  // perhaps an ideograph
    } else if (byte < 0x80 || byte >= 0xC0) {
      width += c == ',' || c == '.' || c == 'i' || c == 'l' || c == ' ' ? 0.34 : 0.6;
    }
  }
  return width * font;
}

/// A coordinate, to a hundredth.
std::string at(double value) {
  std::string text = fmt::format("{:.2f}", value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

std::string dashes_of(std::size_t colour) {
  constexpr const char* kDashes[] = {"", " stroke-dasharray=\"7 3\"", " stroke-dasharray=\"2 3\"",
                                     " stroke-dasharray=\"9 3 2 3\""};
  return kDashes[colour / kNumColours % std::size(kDashes)];
}

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  [[nodiscard]] bool empty() const { return !(low <= high); }
};

/// Draws one chart.
class ChartPainter {
 public:
  ChartPainter(const Chart& chart, const ChartSize& size, double x, double y) : chart_(chart), size_(size) {
    place_legend();
    find_axes();
    out_ = fmt::format(
        "<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {} {}\" "
        "role=\"img\" aria-label=\"{}\" font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, "
        "sans-serif\" font-size=\"{}\"{}>",
        at(x), at(y), at(size.width), at(height()), at(size.width), at(height()), markup_text(chart.title), kFont,
        data_attributes());
  }

  [[nodiscard]] DrawnChart draw() {
    draw_title();
    draw_legend();
    if (x_range_.empty() || y_range_.empty()) {
      text((left_ + right()) / 2, (top_ + bottom()) / 2, "nothing to show: the run has no such values", "dim", "middle");
      return {out_ + "</svg>", height()};
    }
    draw_grid();
    for (const ChartBand& band : chart_.bands) draw_band(band);
    for (const ChartLine& line : chart_.lines) draw_line(line);
    for (const ChartLevel& level : chart_.levels) draw_level(level);
    draw_axes();
    for (const ChartMark& mark : chart_.marks) draw_mark(mark);
    return {out_ + "</svg>", height()};
  }

 private:
  struct Entry {
    double x, y;
    std::string label, note;
    const ChartLine* line;
    const ChartBand* band;
  };

  [[nodiscard]] double right() const { return size_.width - 18; }
  [[nodiscard]] double bottom() const { return top_ + plot_height(); }
  [[nodiscard]] double plot_height() const { return size_.height - 30 - 44; }
  /// A long legend makes the chart higher, and its plot not smaller.
  [[nodiscard]] double height() const { return bottom() + 44; }

  void add_entry(const std::string& label, const std::string& note, const ChartLine* line, const ChartBand* band) {
    if (label.empty()) return;
    const std::string name = short_name(label, kLongestLabel);
    const double width = 26 + width_of(name) + (note.empty() ? 0 : 6 + width_of(note)) + 16;
    if (legend_x_ > 12 && legend_x_ + width > size_.width) {
      legend_x_ = 12;
      legend_y_ += kLegendRow;
    }
    entries_.push_back({legend_x_, legend_y_, name, note, line, band});
    legend_x_ += width;
  }

  void place_legend() {
    for (const ChartLine& line : chart_.lines) {
      if (line.in_legend) add_entry(line.label, line.note, &line, nullptr);
    }
    // The uppermost layer first, as they lie on one another.
    for (auto band = chart_.bands.rbegin(); band != chart_.bands.rend(); ++band)
      add_entry(band->label, band->note, nullptr, &*band);
    top_ = (entries_.empty() ? 30 : legend_y_ + 14) + 10;
  }

  void add_to_ranges(const std::vector<Point>& points) {
    for (const Point& point : points) {
      x_range_.add(point.x);
      if (std::isfinite(point.y) && (!chart_.is_log || point.y > 0)) y_range_.add(point.y);
    }
  }

  void find_axes() {
    for (const ChartLine& line : chart_.lines) add_to_ranges(line.points);
    for (const ChartBand& band : chart_.bands) add_to_ranges(band.upper);
    if (x_range_.empty() || y_range_.empty()) return;
    for (const ChartLevel& level : chart_.levels) y_range_.add(level.y);
    if (chart_.from_zero) y_range_.low = std::min(0.0, y_range_.low);
    const int rows = std::max(2, static_cast<int>(plot_height() / 44));
    y_ = chart_.is_log ? log_axis(y_range_.low, y_range_.high, rows)
                       : linear_axis(y_range_.low, y_range_.high, rows, AxisEnds::kRound);
    double widest = 0;
    for (const Tick& tick : y_.ticks) widest = std::max(widest, width_of(tick.label));
    left_ = 20 + widest;
    const int columns = std::max(2, static_cast<int>((right() - left_) / 100));
    x_ = linear_axis(x_range_.low, x_range_.high, columns, AxisEnds::kExact);
  }

  [[nodiscard]] std::string data_attributes() const {
    if (x_range_.empty() || y_range_.empty()) return "";
    return fmt::format(" data-plot=\"{} {} {} {}\" data-x=\"{:.12g} {:.12g}\" data-y=\"{:.12g} {:.12g} {}\"", at(left_),
                       at(right()), at(top_), at(bottom()), x_.low, x_.high, y_.low, y_.high, y_.is_log ? "log" : "linear");
  }

  [[nodiscard]] double px(double x) const { return left_ + x_.place(x) * (right() - left_); }
  [[nodiscard]] double py(double y) const { return bottom() - y_.place(y) * (bottom() - top_); }

  void text(double x, double y, std::string_view words, std::string_view css, std::string_view anchor = "start") {
    out_ +=
        fmt::format("<text x=\"{}\" y=\"{}\"{}{}>{}</text>", at(x), at(y), css.empty() ? "" : fmt::format(" class=\"{}\"", css),
                    anchor == "start" ? "" : fmt::format(" text-anchor=\"{}\"", anchor), markup_text(words));
  }

  void segment(double x1, double y1, double x2, double y2, std::string_view css, std::string_view more = "") {
    out_ += fmt::format("<path class=\"{}\" d=\"M{} {}L{} {}\" fill=\"none\"{}/>", css, at(x1), at(y1), at(x2), at(y2), more);
  }

  void draw_title() {
    out_ += fmt::format(
        "<text x=\"12\" y=\"21\"><tspan font-size=\"{}\" font-weight=\"600\">{}</tspan><tspan class=\"dim\" dx=\"8\">{}</tspan></text>",
        kTitleFont, markup_text(chart_.title), markup_text(chart_.unit));
  }

  void draw_legend() {
    for (const Entry& entry : entries_) {
      const double y = entry.y - 4;
      if (entry.band != nullptr) {
        out_ += fmt::format("<rect class=\"b{}\" x=\"{}\" y=\"{}\" width=\"18\" height=\"10\" rx=\"2\"/>",
                            entry.band->colour % kNumColours, at(entry.x), at(y - 5));
      } else {
        segment(entry.x, y, entry.x + 18, y, css_of(*entry.line), look_of(*entry.line));
        if (entry.line->look == ChartLine::Look::kDashed) dot(entry.x + 9, y, *entry.line, "");
      }
      out_ += fmt::format("<text x=\"{}\" y=\"{}\"><tspan>{}</tspan>", at(entry.x + 24), at(entry.y), markup_text(entry.label));
      if (!entry.note.empty()) out_ += fmt::format("<tspan class=\"dim\" dx=\"6\">{}</tspan>", markup_text(entry.note));
      out_ += "</text>";
    }
  }

  void draw_grid() {
    for (const Tick& tick : y_.ticks) {
      if (tick.value < y_.low || tick.value > y_.high) continue;
      const double y = py(tick.value);
      segment(left_, y, right(), y, "grid");
      text(left_ - 8, y + 4, tick.label, "dim", "end");
    }
    for (const Tick& tick : x_.ticks) {
      const double x = px(tick.value);
      segment(x, bottom(), x, bottom() + 5, "axis");
      // The last label ends where the picture does.
      const bool at_end = x + width_of(tick.label) / 2 > size_.width - 2;
      text(at_end ? size_.width - 2 : x, bottom() + 19, tick.label, "dim", at_end ? "end" : "middle");
    }
  }

  void draw_axes() {
    segment(left_, bottom(), right(), bottom(), "axis");
    text((left_ + right()) / 2, bottom() + 37, chart_.x_label, "dim", "middle");
  }

  [[nodiscard]] static std::string css_of(const ChartLine& line) {
    if (line.look == ChartLine::Look::kPlan) return "plan";
    return fmt::format("c{}", line.colour % kNumColours);
  }

  [[nodiscard]] static std::string look_of(const ChartLine& line) {
    switch (line.look) {
      case ChartLine::Look::kFaint:
        return " stroke-width=\"1.2\" stroke-opacity=\"0.35\" stroke-linejoin=\"round\"" + dashes_of(line.colour);
      case ChartLine::Look::kDashed:
        return " stroke-width=\"1.8\" stroke-dasharray=\"5 4\"";
      case ChartLine::Look::kPlan:
        return " stroke-width=\"1.6\" stroke-dasharray=\"7 4\"";
      case ChartLine::Look::kLine:
        break;
    }
    return " stroke-width=\"2\" stroke-linejoin=\"round\" stroke-linecap=\"round\"" + dashes_of(line.colour);
  }

  [[nodiscard]] bool is_shown(const Point& point) const { return std::isfinite(point.y) && (!chart_.is_log || point.y > 0); }

  void dot(double x, double y, const ChartLine& line, const std::string& title) {
    const std::string fill = line.look == ChartLine::Look::kPlan ? "f7" : fmt::format("f{}", line.colour % kNumColours);
    out_ += fmt::format("<circle class=\"dot {}\" cx=\"{}\" cy=\"{}\" r=\"3.6\" stroke-width=\"1\"{}", fill, at(x), at(y),
                        title.empty() ? "/>" : fmt::format("><title>{}</title></circle>", markup_text(title)));
  }

  void draw_line(const ChartLine& line) {
    std::string path;
    bool is_open = false;
    std::vector<Point> shown;
    for (const Point& point : line.points) {
      const bool has_value = is_shown(point);
      if (has_value) {
        path += fmt::format("{}{} {}", is_open ? "L" : "M", at(px(point.x)), at(py(point.y)));
        shown.push_back(point);
      }
      is_open = has_value;
    }
    if (shown.empty()) return;
    const std::string name = short_name(line.label.empty() ? chart_.title : line.label, kLongestLabel);
    out_ += fmt::format("<path class=\"{}\" d=\"{}\" fill=\"none\" data-name=\"{}\"{}/>", css_of(line), path, markup_text(name),
                        look_of(line));
    const bool few = line.look == ChartLine::Look::kDashed && shown.size() <= kMostDots;
    if (!few && shown.size() > 1) return;
    for (const Point& point : shown) {
      dot(px(point.x), py(point.y), line,
          fmt::format("{}: {} at {} {}", name, value_text(point.y, 5), value_text(point.x, 7), chart_.x_label));
    }
  }

  void draw_band(const ChartBand& band) {
    std::string path;
    for (const Point& point : band.upper)
      path += fmt::format("{}{} {}", path.empty() ? "M" : "L", at(px(point.x)), at(py(point.y)));
    for (auto point = band.lower.rbegin(); point != band.lower.rend(); ++point) {
      path += fmt::format("L{} {}", at(px(point->x)), at(py(point->y)));
    }
    if (path.empty()) return;
    out_ += fmt::format("<path class=\"b{}\" d=\"{}Z\" fill-opacity=\"0.9\"><title>{}</title></path>",
                        band.colour % kNumColours, path, markup_text(band.label + (band.note.empty() ? "" : ": " + band.note)));
  }

  void draw_level(const ChartLevel& level) {
    const double y = py(level.y);
    segment(left_, y, right(), y, "level", " stroke-width=\"1\" stroke-dasharray=\"2 4\"");
    text(right() - 4, y - 5, level.label, "dim halo", "end");
  }

  void draw_mark(const ChartMark& mark) {
    const double x = px(std::clamp(mark.x, x_.low, x_.high));
    if (mark.kind == ChartMark::Kind::kNotFinite) {
      out_ += fmt::format("<path class=\"bad\" d=\"M{} {}l-4 -8h8Z\"><title>{}</title></path>", at(x), at(top_ + 1),
                          markup_text(mark.title));
      return;
    }
    const double y = py(mark.y);
    out_ += fmt::format(
        "<circle class=\"ring\" cx=\"{}\" cy=\"{}\" r=\"6.5\" fill=\"none\" stroke-width=\"1.6\"><title>{}</title></circle>",
        at(x), at(y), markup_text(mark.title));
    if (mark.label.empty()) return;
    const bool to_left = x > (left_ + right()) / 2;
    text(to_left ? x + 4 : x - 4, y - 13 < top_ + 8 ? y + 22 : y - 13, mark.label, "halo", to_left ? "end" : "start");
  }

  const Chart& chart_;
  const ChartSize& size_;
  std::string out_;
  std::vector<Entry> entries_;
  double legend_x_ = 12;
  double legend_y_ = 43;
  double top_ = 0;
  double left_ = 60;
  Range x_range_, y_range_;
  Axis x_, y_;
};

}  // namespace

bool Chart::empty() const { return lines.empty() && bands.empty(); }

DrawnChart draw_chart(const Chart& chart, const ChartSize& size, double x, double y) {
  return ChartPainter(chart, size, x, y).draw();
}

}  // namespace virgil
