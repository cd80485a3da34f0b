#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/memory/memory_resource.h"
#include "virgil/run_report/report_page.h"

namespace virgil {

namespace {

/// As RFC 4180 quotes.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

/// The shortest digits that read back as the same double; whole numbers as such.
void add_number(std::string& csv, const std::optional<double>& value) {
  csv += ',';
  if (!value) return;
  if (std::isnan(*value)) {
    csv += "nan";
  } else if (std::isinf(*value)) {
    csv += *value > 0 ? "inf" : "-inf";
  } else if (std::abs(*value) < 9007199254740992.0 && *value == std::floor(*value)) {
    fmt::format_to(std::back_inserter(csv), "{:.0f}", *value);
  } else {
    fmt::format_to(std::back_inserter(csv), "{}", *value);
  }
}

std::string header(bool with_run) {
  std::string csv = with_run ? "run,step,elapsed_s" : "step,elapsed_s";
  for (const FigureKey& key : figure_keys()) csv += fmt::format(",{}{}", key.of_memory ? "mem_" : "", key.key);
  for (const MemoryCategory category : kAllMemoryCategories) csv += fmt::format(",mem_{}", name_of(category));
  return csv + "\n";
}

}  // namespace

std::string report_csv(const std::vector<RunHistory>& runs) {
  const bool with_run = runs.size() > 1;
  std::string csv = header(with_run);
  for (const RunHistory& run : runs) {
    for (std::size_t row = 0; row < run.rows(); ++row) {
      if (with_run) csv += csv_field(run.name) + ",";
      csv += std::to_string(run.steps[row]);
      add_number(csv, run.elapsed_s[row]);
      for (const FigureKey& key : figure_keys()) add_number(csv, run.at(key.figure, row));
      for (const FigureColumn& column : run.memory) add_number(csv, column.at(row));
      csv += '\n';
    }
  }
  return csv;
}

bool is_report_csv(std::string_view start) { return start.starts_with(header(false)) || start.starts_with(header(true)); }

}  // namespace virgil
