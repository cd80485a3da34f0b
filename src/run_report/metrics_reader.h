// The lines of metrics.jsonl.
#pragma once

#include <cstdint>
#include <string_view>

#include "virgil/run_report/run_history.h"

namespace virgil {

/// Puts lines into a history, one after the other.
class MetricsReader {
 public:
  explicit MetricsReader(RunHistory& history) : history_(history) {}

  /// Throws UserError where there are more lines than any run has.
  void read_line(std::string_view line);
  /// Adds to the history's problems what was wrong.
  void finish();

 private:
  struct Line;
  [[nodiscard]] static bool parse(std::string_view text, Line& line);
  void add(const Line& line);
  void drop_from(std::int64_t step);
  void forget_samples_from(std::int64_t step);
  void keep_sample(const Line& line);

  RunHistory& history_;
  std::int64_t num_damaged_ = 0;
  std::int64_t num_repeated_ = 0;
  std::int64_t sample_stride_ = 1;
  std::int64_t num_samples_ = 0;
  RunSample last_sample_;
};

}  // namespace virgil
