#include "virgil/run_report/report_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "run_report/chart.h"
#include "run_report/hover_script.h"
#include "run_report/html_text.h"
#include "run_report/page_parts.h"
#include "run_report/run_charts.h"
#include "virgil/config/program_version.h"

namespace virgil {

namespace {

constexpr const char* kGenerator = "<meta name=\"generator\" content=\"Virgil report\">";
constexpr ChartSize kWide{.width = 960, .height = 400};
constexpr ChartSize kSmall{.width = 480, .height = 290};

std::string title_of(const std::vector<RunHistory>& runs) {
  return runs.size() == 1 ? runs.front().name : fmt::format("{} runs", runs.size());
}

std::string lead_of(const std::vector<RunHistory>& runs) {
  if (runs.size() > 1) {
    std::string names;
    for (const RunHistory& run : runs) names += (names.empty() ? "" : ", ") + run.name;
    return names;
  }
  const RunHistory& run = runs.front();
  return run.sessions.empty() ? "A training run of Virgil" : short_name(run.sessions.back().device, 200);
}

/// All charts but the loss.
std::vector<Chart> small_charts(const std::vector<RunHistory>& runs, Abscissa abscissa) {
  std::vector<Chart> charts = figure_charts(runs, abscissa);
  for (const RunHistory& run : runs) {
    Chart memory = memory_chart(run, runs.size(), abscissa);
    if (!memory.empty()) charts.push_back(std::move(memory));
  }
  return charts;
}

}  // namespace

std::string report_page(const std::vector<RunHistory>& runs, Abscissa abscissa) {
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n{}\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n<h1>{}</h1>\n<p class=\"lead\">{}</p>\n",
      kGenerator, markup_text(title_of(runs)), page_css(), markup_text(title_of(runs)), markup_text(lead_of(runs)));
  html += summary_part(runs) + problems_part(runs);
  const Chart loss = loss_chart(runs, abscissa);
  html += "<section><h2>Curves</h2>\n<div class=\"card wide\">" + draw_chart(loss, kWide).svg + "</div>\n";
  html += "<div class=\"card narrow\">" + draw_chart(loss, kSmall).svg + "</div>\n<div class=\"plots\">\n";
  for (const Chart& chart : small_charts(runs, abscissa))
    html += "<div class=\"card\">" + draw_chart(chart, kSmall).svg + "</div>\n";
  html += "</div></section>\n";
  html += samples_part(runs) + config_part(runs) + sessions_part(runs);
  std::string version = program_version("report");
  while (version.ends_with('\n')) version.pop_back();
  return html +
         fmt::format("<footer>Made by {}.</footer>\n</main>\n<script>{}</script>\n</body>\n</html>\n", version, hover_script());
}

bool is_report_page(std::string_view start) { return start.find(kGenerator) != start.npos; }

std::string report_picture(const std::vector<RunHistory>& runs, Abscissa abscissa) {
  constexpr double kWidth = 1120;
  constexpr double kBetween = 12;
  double y = 52;
  const DrawnChart loss = draw_chart(loss_chart(runs, abscissa), {.width = kWidth, .height = 460}, 0, y);
  std::string body = loss.svg;
  y += loss.height + kBetween;
  std::vector<Chart> charts = figure_charts(runs, abscissa);
  if (runs.size() == 1) {
    Chart memory = memory_chart(runs.front(), 1, abscissa);
    if (!memory.empty()) charts.push_back(std::move(memory));
  }
  const ChartSize size{.width = (kWidth - kBetween) / 2, .height = 290};
  double row_height = 0;
  for (std::size_t i = 0; i < charts.size(); ++i) {
    const DrawnChart chart = draw_chart(charts[i], size, i % 2 == 0 ? 0 : size.width + kBetween, y);
    body += chart.svg;
    row_height = std::max(row_height, chart.height);
    if (i % 2 == 0 && i + 1 < charts.size()) continue;
    y += row_height + kBetween;
    row_height = 0;
  }
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1:.0f}\" viewBox=\"0 0 {0} {1:.0f}\"><style>{2}</style>"
      "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/><g class=\"chart\" font-family=\"system-ui, 'DejaVu Sans', Helvetica, Arial, "
      "sans-serif\"><text x=\"12\" y=\"34\" font-size=\"22\" font-weight=\"600\">{3}</text></g>{4}</svg>\n",
      kWidth, y, chart_css(Scheme::kLight), markup_text(short_name(title_of(runs), 80)), body);
}

}  // namespace virgil
