// The run as a person sees it: one line a step; on a terminal one live line, with permanent lines for what should stay.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "virgil/base/format.h"
#include "virgil/base/terminal.h"
#include "virgil/train/loss_history.h"
#include "virgil/train/metrics.h"

namespace virgil {

/// Writes to a stream it does not own. On a pipe the steps that is_logged marks get a line each; on a terminal the live line
/// shows every step, and a step every 5 %, evaluations, samples and warnings stay. Where nobody reads the stream any more
/// (EPIPE; SIGPIPE must be ignored) it says so once and writes no more.
class ConsoleMetrics final : public MetricsSink {
 public:
  /// `style` tells what the terminal behind the stream is like at present; empty: there is none.
  ConsoleMetrics(std::FILE* stream, std::function<TerminalStyle()> style, std::function<void()> on_closed = {})
      : stream_(stream), style_(std::move(style)), on_closed_(std::move(on_closed)) {}
  ~ConsoleMetrics() override { clear_live_line(); }
  ConsoleMetrics(const ConsoleMetrics&) = delete;
  ConsoleMetrics& operator=(const ConsoleMetrics&) = delete;

  void info(std::string_view line) override;
  void warn(std::string_view line) override;
  void step(const StepMetrics& metrics, const LossHistory& losses) override;
  void evaluation(const EvalMetrics& metrics) override;
  void sample(std::int64_t step, std::string_view text) override;
  /// On a terminal: shows `text` in place of the live line; an empty one removes it.
  void live(std::string_view text);

 private:
  void print(std::string_view line);
  void clear_live_line();
  void write(std::string_view text);
  /// A step on a terminal.
  void show(const StepMetrics& metrics, const LossHistory& losses);
  /// In this colour, where there are colours.
  [[nodiscard]] std::string coloured(std::string_view colour, std::string_view text) const;

  std::FILE* stream_;
  std::function<TerminalStyle()> style_;
  std::function<void()> on_closed_;
  bool closed_ = false;
  bool live_ = false;
  std::int64_t twentieths_ = -1;  // of the run that are over; -1: not known yet
};

/// One step as text: "step 120/1500  loss 2.4312  lr 1.00e-03 ...".
[[nodiscard]] std::string format_step(const StepMetrics& metrics);

}  // namespace virgil
