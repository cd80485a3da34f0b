// What a run has left of its figures, read back: RUN/metrics.jsonl, run.json and run_config.json. Nobody vouches for these
// files: what is damaged is left out, counted and told.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "virgil/memory/memory_resource.h"
#include "virgil/train/run_sessions.h"

namespace virgil {

/// The figures of a step that are kept.
enum class Figure : std::uint8_t {
  kTokens,
  kEpoch,
  kTime,
  kLoss,
  kLossSmoothed,
  kLearningRate,
  kGradNorm,
  kUpdated,
  kElapsedMs,
  kTokensPerS,
  kModelGflops,
  kMfu,
  kLossScale,
  kValLoss,
  kValPerplexity,
  kValBitsPerByte,
  kMemAllocated,
  kMemPeak,
  kMemProcess,
  kMemProcessPeak,
  kMemDevice,
};
inline constexpr std::size_t kNumFigures = 21;

/// Where a figure stands in a line of metrics.jsonl: a key of the line, or of its object "mem".
struct FigureKey {
  Figure figure;
  const char* key;
  bool of_memory = false;
};
/// All of them, in the order of columns.
[[nodiscard]] const std::array<FigureKey, kNumFigures>& figure_keys();

/// A value for each row that has one. NaN and infinities are values: the run computed them.
class FigureColumn {
 public:
  void set(std::size_t row, double value);
  void truncate(std::size_t rows);
  [[nodiscard]] std::optional<double> at(std::size_t row) const;
  [[nodiscard]] bool empty() const { return values_.empty(); }

 private:
  std::vector<double> values_;
  std::vector<bool> present_;
};

/// A text that the model wrote.
struct RunSample {
  std::int64_t step = 0;  // updates done before it was written
  std::string text;       // UTF-8, cut to a readable length
};

/// Bytes planned from a step on.
struct PlanFromStep {
  std::int64_t first_step = 0;
  std::int64_t total_bytes = 0;
};

struct RunHistory {
  std::filesystem::path folder;
  std::string name;                 // for people; unlike that of every other run in a report
  std::vector<std::int64_t> steps;  // of each row, increasing
  std::array<FigureColumn, kNumFigures> figures;
  std::array<FigureColumn, kNumMemoryCategories> memory;             // allocated bytes by category
  std::vector<double> elapsed_s;                                     // training time until the end of each row, without pauses
  std::vector<RunSample> samples;                                    // by step
  std::int64_t samples_left_out = 0;                                 // beyond those kept
  std::vector<PlanFromStep> plans;                                   // by step; one where nothing changed
  std::vector<RunSession> sessions;                                  // in order of time
  std::vector<std::pair<std::int64_t, std::size_t>> session_starts;  // first step and number of those that made rows, by step
  std::vector<std::pair<std::string, std::string>> config;           // keys and values, these as JSON
  std::vector<std::string> problems;                                 // what was damaged or missing, a sentence each

  [[nodiscard]] std::size_t rows() const { return steps.size(); }
  [[nodiscard]] const FigureColumn& column(Figure figure) const { return figures[static_cast<std::size_t>(figure)]; }
  [[nodiscard]] std::optional<double> at(Figure figure, std::size_t row) const { return column(figure).at(row); }
  /// The session that made the row: the last that began at or before its step. Nothing where run.json names none.
  [[nodiscard]] const RunSession* session_of(std::size_t row) const;
};

/// Reads the run in `path`: its folder, or its metrics.jsonl. A torn last line is ignored. Where steps go back, as after a run
/// that was killed, the later figures count. Throws UserError where there is no run, naming what may have been meant, or none
/// of its steps.
[[nodiscard]] RunHistory read_run_history(const std::filesystem::path& path);

/// Reads several, and gives each a name: the last part of its path, with as many before as tell it from the others. Throws
/// UserError as above, and where one is given twice.
[[nodiscard]] std::vector<RunHistory> read_run_histories(const std::vector<std::string>& paths);

}  // namespace virgil
