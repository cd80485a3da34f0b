// A chart with axes and a legend, as SVG.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "run_report/series.h"

namespace virgil {

inline constexpr int kNumColours = 8;

struct ChartLine {
  enum class Look : std::uint8_t {
    kLine,    // what is to be read
    kFaint,   // what it is the mean of
    kDashed,  // beside kLine in the same colour; with a dot for each point where these are few
    kPlan,    // in the colour of text, dashed
  };
  std::string label = {};  // in the legend, and under the pointer
  std::string note = {};   // after the label: "final 1.4471"
  std::size_t colour = 0;  // beyond kNumColours they come again, with other dashes
  Look look = Look::kLine;
  std::vector<Point> points = {};
  bool in_legend = true;
};

/// One layer of a stack: between two lines over the same x.
struct ChartBand {
  std::string label = {};
  std::string note = {};
  std::size_t colour = 0;
  std::vector<Point> lower = {};
  std::vector<Point> upper = {};
};

struct ChartMark {
  enum class Kind : std::uint8_t { kBest, kNotFinite };
  Kind kind = Kind::kBest;
  double x = 0;
  double y = 0;  // of a best; the others stand at the upper edge
  std::size_t colour = 0;
  std::string label = {};  // beside it; empty: none
  std::string title = {};  // what the pointer shows
};

/// A height that is told, across the whole chart.
struct ChartLevel {
  double y = 0;
  std::string label = {};
};

struct Chart {
  std::string title = {};
  std::string unit = {};     // of the values: "nats per token"
  std::string x_label = {};  // with its unit
  bool is_log = false;
  bool from_zero = false;
  std::vector<ChartBand> bands = {};
  std::vector<ChartLine> lines = {};
  std::vector<ChartMark> marks = {};
  std::vector<ChartLevel> levels = {};

  [[nodiscard]] bool empty() const;
};

struct ChartSize {
  double width = 560;
  double height = 320;
};

struct DrawnChart {
  std::string svg = {};
  double height = 0;  // with its legend
};

/// An <svg> in user units, well-formed XML, which looks as chart_css() says; at `x`, `y` of an outer one. The height asked for
/// is that with a legend of no row. A chart without a value that can be plotted says so.
[[nodiscard]] DrawnChart draw_chart(const Chart& chart, const ChartSize& size, double x = 0, double y = 0);

enum class Scheme : std::uint8_t { kLight, kDark };

/// Rules for what draw_chart makes, without those of other rules or variables: renderers beside browsers read them too.
[[nodiscard]] std::string chart_css(Scheme scheme);

}  // namespace virgil
