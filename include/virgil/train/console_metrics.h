// The run as a person sees it: one line a step; on a terminal one live line, with permanent lines for what should stay.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "virgil/base/format.h"
#include "virgil/base/progress.h"
#include "virgil/base/terminal.h"
#include "virgil/train/live_line.h"
#include "virgil/train/loss_history.h"
#include "virgil/train/metrics.h"
#include "virgil/train/step_under_way.h"

namespace virgil {

/// Writes to a stream it does not own. On a pipe the steps that is_logged marks get a line each; on a terminal the live line
/// shows every step, and a step every 5 %, evaluations, samples and warnings stay; and tick() moves it while a step or other
/// work lasts. Where nobody reads the stream any more (EPIPE; SIGPIPE must be ignored) it says so once and writes no more.
/// tick() may come from any thread, all else from one at a time.
class ConsoleMetrics final : public MetricsSink {
 public:
  using Clock = std::function<double()>;  // seconds, never going back

  /// `style` tells what the terminal behind the stream is like at present; empty: there is none. Without a clock the steady one
  /// of the system is used.
  ConsoleMetrics(std::FILE* stream, std::function<TerminalStyle()> style, std::function<void()> on_closed = {},
                 Clock clock = {});
  ~ConsoleMetrics() override { clear_live_line(); }
  ConsoleMetrics(const ConsoleMetrics&) = delete;
  ConsoleMetrics& operator=(const ConsoleMetrics&) = delete;

  void info(std::string_view line) override;
  void warn(std::string_view line) override;
  void step(const StepMetrics& metrics, const LossHistory& losses) override;
  void evaluation(const EvalMetrics& metrics) override;
  void sample(std::int64_t step, std::string_view text) override;
  void step_under_way(const StepUnderWay* step) override;
  /// How far other work has come, such as an evaluation; null: it is over.
  void phase_under_way(const PhaseProgress* phase);
  /// On a terminal: shows how far a step or a phase has come by now, if it lasts longer than about a second. For a thread that
  /// calls a few times a second.
  void tick();

 private:
  /// A phase, and when it began.
  struct Phase {
    std::string name;
    std::string unit;
    std::int64_t done = 0;
    std::int64_t total = 0;
    double start_s = 0;

    [[nodiscard]] PhaseProgress progress() const { return {name, unit, done, total}; }
  };

  void live(std::string_view text);
  void show_phase(double now_s);
  void show_step(double now_s);
  void show_work(const WorkUnderWay& work);
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
  Clock clock_;
  std::mutex mutex_;  // of what follows, and of what is written
  bool closed_ = false;
  bool live_ = false;
  std::int64_t twentieths_ = -1;  // of the run that are over; -1: not known yet
  StepMetrics last_;              // the figures that are shown; before the first step, only where it stands
  LossHistory losses_;            // up to last_
  double last_s_ = 0;             // when last_ was done
  StepClock step_clock_;
  bool has_step_ = false;  // that step_clock_ follows
  std::optional<Phase> phase_;
};

/// One step as text: "step 120/1500  loss 2.4312  lr 1.00e-03 ...".
[[nodiscard]] std::string format_step(const StepMetrics& metrics);

}  // namespace virgil
