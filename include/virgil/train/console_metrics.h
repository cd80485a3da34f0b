// The run as a person sees it: one line a step; on a terminal one live line, with permanent lines for what should stay.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "virgil/base/format.h"
#include "virgil/train/metrics.h"

namespace virgil {

/// Writes to a stream it does not own. On a pipe the steps that is_logged marks get a line each; on a terminal the live line
/// shows every step and evaluations, samples and warnings stay.
class ConsoleMetrics final : public MetricsSink {
 public:
  ConsoleMetrics(std::FILE* stream, bool is_terminal) : stream_(stream), is_terminal_(is_terminal) {}
  ~ConsoleMetrics() override { clear_live_line(); }
  ConsoleMetrics(const ConsoleMetrics&) = delete;
  ConsoleMetrics& operator=(const ConsoleMetrics&) = delete;

  void info(std::string_view line) override;
  void warn(std::string_view line) override;
  void step(const StepMetrics& metrics) override;
  void evaluation(const EvalMetrics& metrics) override;
  void sample(std::int64_t step, std::string_view text) override;

 private:
  void print(std::string_view line);
  void clear_live_line();

  std::FILE* stream_;
  bool is_terminal_;
  bool live_ = false;
};

/// One step as text: "step 120/1500  loss 2.4312  lr 1.00e-03 ...".
[[nodiscard]] std::string format_step(const StepMetrics& metrics);
/// "386.2 MiB".
[[nodiscard]] std::string format_bytes(std::int64_t bytes);
/// "2h05m", "35m12s", "41s".
[[nodiscard]] std::string format_duration(double seconds);

}  // namespace virgil
