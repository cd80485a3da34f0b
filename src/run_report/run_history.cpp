#include "virgil/run_report/run_history.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "run_report/metrics_reader.h"
#include "run_report/run_files.h"
#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/base/nearest_name.h"
#include "virgil/base/paths.h"
#include "virgil/base/shell_quote.h"
#include "virgil/format/checkpoint.h"

namespace virgil {

namespace fs = std::filesystem;

const std::array<FigureKey, kNumFigures>& figure_keys() {
  using enum Figure;
  static constexpr std::array<FigureKey, kNumFigures> kKeys = {{{kTokens, "tokens"},
                                                                {kEpoch, "epoch"},
                                                                {kTime, "time"},
                                                                {kLoss, "loss"},
                                                                {kLossSmoothed, "loss_smoothed"},
                                                                {kLearningRate, "lr"},
                                                                {kGradNorm, "grad_norm"},
                                                                {kUpdated, "updated"},
                                                                {kElapsedMs, "dt_ms"},
                                                                {kTokensPerS, "tokens_per_s"},
                                                                {kModelGflops, "model_gflops"},
                                                                {kMfu, "mfu"},
                                                                {kLossScale, "loss_scale"},
                                                                {kValLoss, "val_loss"},
                                                                {kValPerplexity, "val_ppl"},
                                                                {kValBitsPerByte, "val_bpb"},
                                                                {kMemAllocated, "allocated", true},
                                                                {kMemPeak, "peak", true},
                                                                {kMemProcess, "process_rss", true},
                                                                {kMemProcessPeak, "process_peak", true},
                                                                {kMemDevice, "device_used", true}}};
  return kKeys;
}

void FigureColumn::set(std::size_t row, double value) {
  if (row >= values_.size()) {
    values_.resize(row + 1);
    present_.resize(row + 1);
  }
  values_[row] = value;
  present_[row] = true;
}

void FigureColumn::truncate(std::size_t rows) {
  if (rows >= values_.size()) return;
  values_.resize(rows);
  present_.resize(rows);
}

std::optional<double> FigureColumn::at(std::size_t row) const {
  if (row >= values_.size() || !present_[row]) return std::nullopt;
  return values_[row];
}

const RunSession* RunHistory::session_of(std::size_t row) const {
  using Start = std::pair<std::int64_t, std::size_t>;
  const auto after = std::ranges::upper_bound(session_starts, steps[row], {}, &Start::first);
  return after == session_starts.begin() ? nullptr : &sessions[std::prev(after)->second];
}

namespace {

constexpr double kLongestStep_s = 30.0 * 24 * 3600;  // beyond, a clock was set

/// A duration that can be one, else zero.
double sound_seconds(double seconds) { return seconds > 0 && seconds < kLongestStep_s ? seconds : 0; }

/// Sums up what each row took: by the clock within a session, so that evaluations count and pauses do not; by the steps' own
/// time where no clock was written.
void sum_elapsed(RunHistory& history) {
  double elapsed_s = 0;
  const RunSession* last_session = nullptr;
  std::optional<double> last_time;
  for (std::size_t row = 0; row < history.rows(); ++row) {
    const RunSession* session = history.session_of(row);
    const std::optional<double> time = history.at(Figure::kTime, row);
    double row_s = sound_seconds(history.at(Figure::kElapsedMs, row).value_or(0) / 1000);
    std::optional<double> since = last_time;
    if (session != last_session || !last_time) {
      since = session != nullptr && session->started > 0 ? std::optional(session->started) : std::nullopt;
    }
    if (time && since && sound_seconds(*time - *since) > 0) row_s = *time - *since;
    elapsed_s += row_s;
    history.elapsed_s.push_back(elapsed_s);
    last_session = session;
    last_time = time;
  }
}

/// Names of folders in `folder` that hold a run.
std::vector<std::string> runs_in(const fs::path& folder) {
  constexpr std::size_t kMostLooked = 1000;
  std::vector<std::string> runs;
  std::error_code error;
  std::size_t looked = 0;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end && looked < kMostLooked;
       entry.increment(error)) {
    ++looked;
    std::error_code ignored;
    if (fs::is_regular_file(entry->path() / kMetricsFile, ignored)) runs.push_back(shell_quote(entry->path().string()));
  }
  std::ranges::sort(runs);
  return runs;
}

[[noreturn]] void refuse_folder(const fs::path& folder) {
  constexpr std::size_t kMostNamed = 5;
  std::vector<std::string> inside = runs_in(folder);
  if (!inside.empty()) {
    const std::size_t more = inside.size() - std::min(inside.size(), kMostNamed);
    inside.resize(std::min(inside.size(), kMostNamed));
    throw user_error("{}: is no run, but holds some; give those to be shown: {}{}", folder.string(), fmt::join(inside, " "),
                     more == 0 ? "" : fmt::format(" and {} more", more));
  }
  const fs::path above = fs::absolute(folder).lexically_normal().parent_path();
  if (path_exists(above / kMetricsFile)) {
    throw user_error("{}: is a part of a run, which is {}: give that", folder.string(), shell_quote(above.string()));
  }
  throw user_error("{}: has no {}, so it is no run's folder; give one that train has made, such as runs/NAME", folder.string(),
                   kMetricsFile);
}

/// The folder of the run that `path` means.
fs::path folder_of_run(const fs::path& path) {
  if (path.empty()) throw user_error("the name of a run is empty; give its folder, such as runs/NAME");
  const fs::path named = path.has_filename() ? path : path.parent_path();
  switch (kind_of_path(named)) {
    case PathKind::kFolder:
      if (!path_exists(named / kMetricsFile)) refuse_folder(named);
      return named;
    case PathKind::kFile:
      if (named.filename() == kMetricsFile) return named.has_parent_path() ? named.parent_path() : fs::path(".");
      throw user_error("{}: is a file; give a run's folder, such as runs/NAME", named.string());
    case PathKind::kOther:
      throw user_error("{}: is neither a folder nor a file; give a run's folder, such as runs/NAME", named.string());
    case PathKind::kNothing:
      break;
  }
  std::string near = nearest_path(named);
  if (path_exists(fs::path("runs") / named / kMetricsFile)) near = (fs::path("runs") / named).string();
  throw user_error(
      "{}: there is no such run{}", named.string(),
      near.empty() ? "; give its folder, such as runs/NAME" : fmt::format("; did you mean {}?", shell_quote(near)));
}

std::string_view next_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

/// The last parts of a path, as many as asked for.
std::string end_of_path(const fs::path& path, std::size_t parts) {
  fs::path end;
  fs::path rest = path;
  for (std::size_t i = 0; i < parts && rest.has_filename(); ++i) {
    end = end.empty() ? rest.filename() : rest.filename() / end;
    rest = rest.parent_path();
  }
  return end.empty() ? path.string() : end.string();
}

void name_runs(std::vector<RunHistory>& runs) {
  std::vector<fs::path> whole;
  for (const RunHistory& run : runs) whole.push_back(fs::absolute(run.folder).lexically_normal());
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto is_others = [&](const std::string& name, std::size_t parts) {
      for (std::size_t other = 0; other < runs.size(); ++other) {
        if (other != i && end_of_path(whole[other], parts) == name) return true;
      }
      return false;
    };
    std::size_t parts = 1;
    const auto most = static_cast<std::size_t>(std::distance(whole[i].begin(), whole[i].end()));
    while (parts < most && is_others(end_of_path(whole[i], parts), parts)) ++parts;
    runs[i].name = end_of_path(whole[i], parts);
  }
}

}  // namespace

RunHistory read_run_history(const fs::path& path) {
  RunHistory history;
  history.folder = folder_of_run(path);
  history.name = end_of_path(fs::absolute(history.folder).lexically_normal(), 1);
  const fs::path metrics = history.folder / kMetricsFile;
  const MappedFile file(metrics);
  std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  // What follows the last line's end was torn by a kill, or is being written.
  text = text.substr(0, text.rfind('\n') == text.npos ? 0 : text.rfind('\n') + 1);
  MetricsReader reader(history);
  while (!text.empty()) reader.read_line(next_line(text));
  reader.finish();
  if (history.rows() == 0) {
    throw user_error("{}: {}; let the run do a step, or give another", metrics.string(),
                     history.problems.empty() ? "holds no step yet" : "holds no step that can be read");
  }
  add_sessions(history);
  add_config(history);
  sum_elapsed(history);
  return history;
}

std::vector<RunHistory> read_run_histories(const std::vector<std::string>& paths) {
  constexpr std::size_t kMostRuns = 64;
  if (paths.size() > kMostRuns)
    throw user_error("{} runs are more than one report shows: give {} at most", paths.size(), kMostRuns);
  std::vector<RunHistory> runs;
  std::vector<fs::path> known;
  for (const std::string& path : paths) {
    runs.push_back(read_run_history(path));
    fs::path whole = fs::canonical(runs.back().folder);
    if (std::ranges::find(known, whole) != known.end()) throw user_error("{}: given twice; give each run once", path);
    known.push_back(std::move(whole));
  }
  name_runs(runs);
  return runs;
}

}  // namespace virgil
