// What the program `report` does.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "virgil/base/file_system.h"
#include "virgil/base/logging.h"
#include "virgil/run_report/report_page.h"

namespace virgil {

struct ReportRequest {
  std::vector<std::string> runs;  // folders
  std::string output;  // of the page; empty: RUN/report.html, or report.html for several, where nothing else is asked for
  std::string png;     // file of the picture; empty: none
  std::string csv;     // file of the table, "-" for `out`; empty: none
  bool text = false;   // plot on `out`
  Abscissa abscissa = Abscissa::kStep;
  TextPlotStyle style;
  bool overwrite = false;  // also what report has not made
};

/// Writes what is asked for: the page, unless only others are. Each file appears whole or not at all. A file that is there is
/// replaced where it is a page or a table of this program, else with `overwrite`. Throws UserError.
void run_report(const ReportRequest& request, FileSystem& files, std::ostream& out, Logger& log);

/// The program: reads flags, and computes on the process's streams. Gives the exit code; throws as run_report does, or
/// HelpShown (program.h).
[[nodiscard]] int report_program(const std::vector<std::string>& arguments);

}  // namespace virgil
