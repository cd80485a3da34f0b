// The run as a person sees it: one line a step; on a terminal one live line, with permanent lines for what should stay.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "virgil/base/format.h"
#include "virgil/train/metrics.h"

namespace virgil {

/// Writes to a stream it does not own. On a pipe the steps that is_logged marks get a line each; on a terminal the live line
/// shows every step and evaluations, samples and warnings stay. Where nobody reads the stream any more (EPIPE; SIGPIPE must be
/// ignored) it says so once and goes on in silence.
class ConsoleMetrics final : public MetricsSink {
 public:
  ConsoleMetrics(std::FILE* stream, bool is_terminal, std::function<void()> on_closed = {})
      : stream_(stream), is_terminal_(is_terminal), on_closed_(std::move(on_closed)) {}
  ~ConsoleMetrics() override { clear_live_line(); }
  ConsoleMetrics(const ConsoleMetrics&) = delete;
  ConsoleMetrics& operator=(const ConsoleMetrics&) = delete;

  void info(std::string_view line) override;
  void warn(std::string_view line) override;
  void step(const StepMetrics& metrics) override;
  void evaluation(const EvalMetrics& metrics) override;
  void sample(std::int64_t step, std::string_view text) override;
  /// On a terminal: shows `text` in place of the live line; an empty one removes it.
  void live(std::string_view text);

 private:
  void print(std::string_view line);
  void clear_live_line();
  void write(std::string_view text);

  std::FILE* stream_;
  bool is_terminal_;
  std::function<void()> on_closed_;
  bool closed_ = false;
  bool live_ = false;
};

/// One step as text: "step 120/1500  loss 2.4312  lr 1.00e-03 ...".
[[nodiscard]] std::string format_step(const StepMetrics& metrics);

}  // namespace virgil
