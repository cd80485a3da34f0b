#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <string>

#include "run_report/chart.h"

namespace virgil {

namespace {

// Told apart with any of the common colour vision deficiencies, in the order of use (after Okabe and Ito 2008, darkened or
// lightened until lines stand out from the page).
constexpr std::array<const char*, kNumColours> kLightLines = {"#0b66c3", "#d55e00", "#00866a", "#b0559b",
                                                              "#a87400", "#2499cc", "#6b4fbb", "#666666"};
constexpr std::array<const char*, kNumColours> kDarkLines = {"#5aa9ff", "#ff8c42", "#2ec4a0", "#e08fce",
                                                             "#e6b400", "#8fdcff", "#a893ff", "#b5b5b5"};
// After Paul Tol's "bright" scheme.
constexpr std::array<const char*, kNumColours> kBands = {"#4477aa", "#66ccee", "#228833", "#ccbb44",
                                                         "#ee6677", "#aa3377", "#bbbbbb", "#777777"};

}  // namespace

std::string chart_css(Scheme scheme) {
  const bool dark = scheme == Scheme::kDark;
  const char* ink = dark ? "#e8e6e3" : "#1b1f24";
  const char* dim = dark ? "#a3a9b0" : "#59636e";
  const char* grid = dark ? "#30363d" : "#e4e8ec";
  const char* axis = dark ? "#6e7681" : "#8c959f";
  const char* paper = dark ? "#161b22" : "#ffffff";
  const char* bad = dark ? "#ff6b6b" : "#c8102e";
  std::string css = fmt::format(
      ".chart text{{fill:{}}}.chart .dim{{fill:{}}}.chart .grid{{stroke:{}}}.chart .axis{{stroke:{}}}.chart .plan{{stroke:{}}}"
      ".chart .level{{stroke:{}}}.chart .bad{{fill:{}}}.chart .ring{{stroke:{}}}.chart .dot{{stroke:{}}}.chart .halo{{stroke:{};stroke-width:4px;stroke-linejoin:round;paint-order:stroke}}",
      ink, dim, grid, axis, ink, dim, bad, ink, paper, paper);
  const auto& lines = dark ? kDarkLines : kLightLines;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    css += fmt::format(".chart .c{0}{{stroke:{1}}}.chart .f{0}{{fill:{1}}}.chart .b{0}{{fill:{2}}}", i, lines[i], kBands[i]);
  }
  return css;
}

}  // namespace virgil
