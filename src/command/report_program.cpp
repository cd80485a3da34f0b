// The program `report`: its flags and streams.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "command/program_arguments.h"
#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/base/terminal.h"
#include "virgil/command/program.h"
#include "virgil/command/report_command.h"

namespace virgil {

namespace {

Abscissa parse_abscissa(const std::string& name) {
  if (name == "step" || name == "steps") return Abscissa::kStep;
  if (name == "tokens") return Abscissa::kTokens;
  if (name == "time") return Abscissa::kTime;
  throw user_error("--x is \"{}\", but takes step, tokens or time", name.substr(0, 100));
}

/// As wide as the terminal, unless it was said how wide; in ASCII where the locale has no more.
void choose_style(int columns, bool ascii, TextPlotStyle& style) {
  const std::optional<TerminalStyle> terminal = terminal_style(STDOUT_FILENO);
  constexpr int kWidest = 1000;
  if (columns < 0)
    throw user_error("--width is {}, but takes a number of columns from 40 to {}, or 0 for the terminal's", columns, kWidest);
  style.columns = columns > 0 ? columns : terminal ? terminal->columns : 80;
  style.columns = std::clamp(style.columns, 40, kWidest);
  style.unicode = !ascii && has_utf8_locale();
  style.colours = terminal && terminal->colours;
}

ReportRequest parse_report(CLI::App& app, const std::vector<std::string>& arguments, Logger& log) {
  ReportRequest request;
  std::string abscissa = "step";
  int columns = 0;
  bool ascii = false;
  app.add_option("run,--run,--checkpoint", request.runs, "Folders of runs, such as runs/NAME; several are overlaid")
      ->required();
  app.add_option(
      "--output", request.output,
      "File of the page; RUN/report.html unless given, with several runs report.html in this folder. None where one of the next "
      "three asks for another form");
  app.add_option("--png", request.png, "File for one picture of the plots; needs rsvg-convert (Debian: librsvg2-bin)");
  app.add_option("--csv", request.csv, "File for every figure of every step as a table; -: the standard output");
  app.add_flag("--text", request.text, "Draw the losses in the terminal");
  app.add_option("--x", abscissa, "What plots are drawn over: step, tokens, or time (of training, without pauses)")
      ->capture_default_str();
  app.add_option("--width", columns, "Columns of --text, 40 to 1000; 0: the terminal's, 80 in a pipe")->capture_default_str();
  app.add_flag("--ascii", ascii, "With --text: no characters beyond ASCII, as where the locale is not UTF-8");
  app.add_flag("--overwrite", request.overwrite, "Also replace a file that is not known to be a report");
  app.footer(
      "  report runs/tiny                                 a page about a run: runs/tiny/report.html\n"
      "  report runs/tiny runs/small --output both.html   several runs in one\n"
      "  report runs/tiny --text                          the losses, here and now\n"
      "  report runs/tiny --csv - | head                  its figures as a table");
  parse_arguments(app, arguments, "report runs/NAME", log);
  request.abscissa = parse_abscissa(abscissa);
  choose_style(columns, ascii, request.style);
  return request;
}

}  // namespace

int report_program(const std::vector<std::string>& arguments) {
  CLI::App app("Shows what runs have done: a page of plots, samples and figures that can be handed on.", "report");
  StderrLogger log;
  const auto files = make_posix_file_system();
  run_report(parse_report(app, arguments, log), *files, std::cout, log);
  return 0;
}

}  // namespace virgil
