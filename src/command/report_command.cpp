#include "virgil/command/report_command.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/base/input_file.h"
#include "virgil/base/paths.h"
#include "virgil/run_report/run_history.h"

namespace virgil {

namespace {

namespace fs = std::filesystem;

std::string beginning_of(const fs::path& path) {
  std::array<char, 2048> start{};
  InputFile file(path);
  return {start.data(), file.read(start)};
}

/// Throws UserError where something stands at `path` that is not known to be ours, before anything is computed.
void check_output(const ReportRequest& request, const std::string& path, const char* flag, bool (*is_own)(std::string_view)) {
  if (path.empty()) return;
  const fs::path folder = fs::path(path).parent_path();
  if (!folder.empty() && !is_folder(folder))
    throw user_error("{}: there is no folder {}; make it first", path, folder.string());
  if (is_folder(path)) throw user_error("{}: is a folder; give the name of a file with {}", path, flag);
  if (!is_name_taken(path)) return;
  if (path_exists(path) && !is_plain_file(path)) {
    throw user_error("{}: is neither a file nor free; choose another name with {}", path, flag);  // a device, a pipe
  }
  if (request.overwrite) return;
  if (is_own != nullptr && path_exists(path) && is_own(beginning_of(path))) return;
  throw user_error(
      "{}: is there already, and not known to be a report; replace it with --overwrite, or choose another name with {}", path,
      flag);
}

void write_output(FileSystem& files, const std::string& path, const std::string& content, Logger& log) {
  write_file_atomically(files, path, content);
  log.info(fmt::format("wrote {} ({})", path, format_bytes(static_cast<std::int64_t>(content.size()))));
}

std::string page_path(const ReportRequest& request, const std::vector<RunHistory>& runs) {
  if (!request.output.empty()) return request.output;
  if (!request.png.empty() || !request.csv.empty() || request.text) return "";
  return runs.size() == 1 ? (runs.front().folder / "report.html").string() : "report.html";
}

}  // namespace

void run_report(const ReportRequest& request, FileSystem& files, std::ostream& out, Logger& log) {
  if (request.text && request.csv == "-") throw user_error("--text and --csv - both write to the standard output: choose one");
  const std::string csv = request.csv == "-" ? "" : request.csv;
  check_output(request, request.output, "--output", is_report_page);
  check_output(request, request.png, "--png", nullptr);
  check_output(request, csv, "--csv", is_report_csv);
  const std::vector<RunHistory> runs = read_run_histories(request.runs);
  for (const RunHistory& run : runs) {
    for (const std::string& problem : run.problems) log.warn(fmt::format("{}: {}", run.folder.string(), problem));
  }
  const std::string page = page_path(request, runs);
  check_output(request, page, "--output", is_report_page);
  if (!page.empty()) write_output(files, page, report_page(runs, request.abscissa), log);
  if (!request.png.empty()) write_output(files, request.png, svg_to_png(report_picture(runs, request.abscissa)), log);
  if (!csv.empty()) write_output(files, csv, report_csv(runs), log);
  if (request.csv == "-") out << report_csv(runs);
  if (request.text) out << text_plot(runs, request.abscissa, request.style);
  out.flush();
  if (!out) throw user_error("cannot write the output: is the disk full, or the reader gone?");
}

}  // namespace virgil
