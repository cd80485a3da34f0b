#include "virgil/base/progress_printer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <utility>

#include "virgil/base/format.h"

namespace virgil {

namespace {

constexpr double kShownAfterSeconds = 2;  // what is over before needs no word
constexpr double kLiveSeconds = 0.2;
constexpr double kLineSeconds = 10;

std::string amount(double value, std::string_view unit) {
  if (unit != "bytes") return format_count(std::llround(value));
  constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB"};
  std::size_t power = 0;
  for (value /= 1000; value >= 1000 && power + 1 < std::size(kUnits); value /= 1000) ++power;
  return fmt::format("{:.1f} {}", value, kUnits[power]);
}

std::string rate(double per_second, std::string_view unit) {
  if (unit == "bytes") return amount(per_second, unit) + "/s";
  return per_second < 10 ? fmt::format("{:.1f} {}/s", per_second, unit)
                         : fmt::format("{} {}/s", amount(per_second, unit), unit);
}

}  // namespace

std::string format_progress(const PhaseProgress& progress, double elapsed_s) {
  const auto done = static_cast<double>(progress.done);
  const double speed = elapsed_s > 0 ? done / elapsed_s : 0;
  const std::string unit = progress.unit == "bytes" ? "" : fmt::format(" {}", progress.unit);
  if (progress.total <= 0) {
    return fmt::format("{}  {}{}  {}", progress.name, amount(done, progress.unit), unit, rate(speed, progress.unit));
  }
  // A total that was estimated too low is no reason for more than all.
  const double total = std::max(done, static_cast<double>(progress.total));
  std::string text = fmt::format("{}  {:.0f} %  {} of {}{}  {}", progress.name, std::floor(100 * done / total),
                                 amount(done, progress.unit), amount(total, progress.unit), unit, rate(speed, progress.unit));
  if (speed > 0) text += fmt::format("  {} left", format_duration((total - done) / speed));
  return text;
}

ProgressPrinter::ProgressPrinter(ProgressOutput output, StopSignal* stop, Clock clock)
    : output_(std::move(output)), stop_(stop), clock_(std::move(clock)) {
  if (!clock_) {
    clock_ = [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); };
  }
}

void ProgressPrinter::report(const PhaseProgress& progress) {
  const double now = clock_();
  if (phase_ != progress.name) {
    phase_ = progress.name;
    start_s_ = now;
    shown_s_ = now - kLineSeconds + kShownAfterSeconds;
    if (stop_ != nullptr) stop_->set_phase(phase_);
  }
  if (output_.phase) return output_.phase(&progress);
  if (now - start_s_ < kShownAfterSeconds) return;
  if (now - shown_s_ < (output_.live ? kLiveSeconds : kLineSeconds)) return;
  shown_s_ = now;
  const std::string text = format_progress(progress, now - start_s_);
  if (output_.live) {
    output_.live(text);
    is_live_ = true;
  } else if (output_.line) {
    output_.line(text);
  }
}

void ProgressPrinter::end_phase() {
  if (output_.phase) output_.phase(nullptr);
  if (is_live_) output_.live("");
  is_live_ = false;
  phase_.clear();
  if (stop_ != nullptr) stop_->set_phase("");
}

void ProgressPrinter::foresee_stop(std::string_view when, std::string_view outcome, bool abandonable) {
  if (stop_ != nullptr) stop_->foresee(when, outcome, abandonable);
}

void ProgressPrinter::on_abandon(std::function<void()> clean_up) {
  if (stop_ != nullptr) stop_->on_abandon(std::move(clean_up));
}

ProgressOutput progress_to_standard_error() {
  ProgressOutput output;
  output.line = [](std::string_view line) { fmt::print(stderr, "{}\n", line); };
  if (isatty(STDERR_FILENO) != 1) return output;
  // No wrap, so that a narrow terminal cuts the line instead of scrolling.
  output.live = [](std::string_view text) {
    fmt::print(stderr, "\r\x1b[?7l{}\x1b[K\x1b[?7h", text);
    std::fflush(stderr);
  };
  return output;
}

}  // namespace virgil
