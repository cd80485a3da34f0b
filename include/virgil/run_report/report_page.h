// Reports on runs that can be handed on: one file each.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/run_report/run_history.h"

namespace virgil {

/// What plots are drawn over: steps, tokens, or the time of training.
enum class Abscissa : std::uint8_t { kStep, kTokens, kTime };

/// A page that needs nothing else: no network, no script or picture from elsewhere. Summary, plots as inline SVG, samples,
/// differences of configurations, machines. Dark where its reader's system is, light in print. The same runs give the same
/// bytes.
[[nodiscard]] std::string report_page(const std::vector<RunHistory>& runs, Abscissa abscissa);

/// Whether a file that begins so is such a page.
[[nodiscard]] bool is_report_page(std::string_view start);

/// One picture of the plots, as an SVG of its own.
[[nodiscard]] std::string report_picture(const std::vector<RunHistory>& runs, Abscissa abscissa);

/// An SVG as PNG, by the program rsvg-convert, twice as many pixels as it has units. Throws UserError where that is not
/// installed or fails.
[[nodiscard]] std::string svg_to_png(std::string_view svg);

/// Every figure of every step, a row each below one of names; with several runs their names in the first column. What a row
/// does not have is empty, what is not finite "nan", "inf" or "-inf".
[[nodiscard]] std::string report_csv(const std::vector<RunHistory>& runs);
/// Whether a file that begins so is such a table.
[[nodiscard]] bool is_report_csv(std::string_view start);

struct TextPlotStyle {
  int columns = 80;
  int rows = 18;        // of the plot
  bool unicode = true;  // braille dots; else ASCII
  bool colours = false;
};

/// The losses, smoothed and of validation, as lines of text.
[[nodiscard]] std::string text_plot(const std::vector<RunHistory>& runs, Abscissa abscissa, const TextPlotStyle& style);

}  // namespace virgil
