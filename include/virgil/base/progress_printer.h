// The progress of long work, as a person reads it.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "virgil/base/progress.h"
#include "virgil/base/stop_signal.h"

namespace virgil {

/// "reading  37 %  115.0 MB of 312.0 MB  98.2 MB/s  2s left". `elapsed_s` is since the phase began.
[[nodiscard]] std::string format_progress(const PhaseProgress& progress, double elapsed_s);

/// Where progress is shown.
struct ProgressOutput {
  std::function<void(std::string_view line)> line{};  // one line for good
  std::function<void(std::string_view text)> live{};  // in place of the live line before; empty: remove it. None: no terminal
  std::function<void(const PhaseProgress*)> phase{};  // shows all of it, in place of the two above; null: the phase is over
};

/// Shows phases that last: after two seconds on a terminal a live line, that is gone with the phase; elsewhere a line every ten
/// seconds; or leaves it to another. Passes requests to stop on from `stop`, and tells it what it will interrupt.
class ProgressPrinter final : public ProgressMonitor {
 public:
  using Clock = std::function<double()>;  // seconds, never going back

  /// `stop` may be null; all must outlive the printer. Without a clock the steady one of the system is used.
  explicit ProgressPrinter(ProgressOutput output, StopSignal* stop = nullptr, Clock clock = {});

  [[nodiscard]] bool stop_requested() override { return stop_ != nullptr && stop_->requested(); }
  void report(const PhaseProgress& progress) override;
  void end_phase() override;
  void foresee_stop(std::string_view when, std::string_view outcome, bool abandonable) override;
  void on_abandon(std::function<void()> clean_up) override;

 private:
  ProgressOutput output_;
  StopSignal* stop_;
  Clock clock_;
  std::string phase_;  // empty: none
  double start_s_ = 0;
  double shown_s_ = 0;  // when a line was last shown
  bool is_live_ = false;
};

/// Shows progress on standard error.
[[nodiscard]] ProgressOutput progress_to_standard_error();

}  // namespace virgil
