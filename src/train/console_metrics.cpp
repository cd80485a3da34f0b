#include "virgil/train/console_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "virgil/base/format.h"
#include "virgil/base/progress_printer.h"
#include "virgil/train/live_line.h"

namespace virgil {

namespace {

constexpr double kShownAfterSeconds = 1;  // what is over before needs no line that moves

}  // namespace

ConsoleMetrics::ConsoleMetrics(std::FILE* stream, std::function<TerminalStyle()> style, std::function<void()> on_closed,
                               Clock clock)
    : stream_(stream), style_(std::move(style)), on_closed_(std::move(on_closed)), clock_(std::move(clock)) {
  if (!clock_) {
    clock_ = [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); };
  }
}

std::string format_step(const StepMetrics& m) {
  const std::string scale = m.loss_scale > 0 ? fmt::format("  scale {}", m.loss_scale) : "";
  std::string device;
  if (m.memory.device) {
    const DeviceMemory& memory = *m.memory.device;
    device = fmt::format("  device {} of {}", format_bytes(memory.total_bytes - memory.free_bytes),
                         format_bytes(memory.total_bytes));
  }
  std::string ranks;
  if (m.ranks.size() > 1) {
    const std::size_t slowest = slowest_rank(m.ranks);
    ranks = fmt::format("  slowest rank {} {:.0f} ms", slowest, m.ranks[slowest].compute_ms);
  }
  const double percent = 100.0 * static_cast<double>(m.step + 1) / static_cast<double>(m.max_steps);
  const int width = static_cast<int>(std::to_string(m.max_steps).size());
  return fmt::format(
      "step {:>{}}/{}  loss {:.4f}  lr {:.2e}  norm {:.3f}{}  {} tok/s  {:.0f} ms{}  mem {} of {} planned (peak {}){}  "
      "rss {} (peak {})  {:.0f}%  {} left{}",
      m.step, width, m.max_steps, plain_nan(m.loss), m.learning_rate, plain_nan(m.grad_norm), scale,
      format_count(std::llround(m.tokens_per_s)), m.elapsed_ms, ranks, format_bytes(m.memory.allocated_bytes),
      format_bytes(m.memory.planned_bytes), format_bytes(m.memory.peak_bytes), device, format_bytes(m.memory.process_rss_bytes),
      format_bytes(m.memory.process_peak_bytes), percent, format_duration(m.remaining_s), m.updated ? "" : "  NOT APPLIED");
}

void ConsoleMetrics::clear_live_line() {
  if (live_) live("");
}

/// fmt::print throws where a write fails, which is no reason to end a training run.
void ConsoleMetrics::write(std::string_view text) {
  if (closed_) return;
  errno = 0;
  const bool written = std::fwrite(text.data(), 1, text.size(), stream_) == text.size() && std::fflush(stream_) == 0;
  if (written || errno != EPIPE) return;
  closed_ = true;
  if (on_closed_) on_closed_();
}

void ConsoleMetrics::live(std::string_view text) {
  if (!style_) return;
  // No wrap while the live line is written, so that a narrow terminal cuts it instead of scrolling.
  write(text.empty() ? "\r\x1b[K" : fmt::format("\r\x1b[?7l{}\x1b[K\x1b[?7h", text));
  live_ = !text.empty();
}

void ConsoleMetrics::print(std::string_view line) {
  clear_live_line();
  write(fmt::format("{}\n", line));
}

void ConsoleMetrics::info(std::string_view line) {
  const std::lock_guard lock(mutex_);
  print(line);
}

void ConsoleMetrics::warn(std::string_view line) {
  const std::lock_guard lock(mutex_);
  print(fmt::format("{} {}", coloured(kYellowText, "warning:"), line));
}

void ConsoleMetrics::step(const StepMetrics& metrics, const LossHistory& losses) {
  const std::lock_guard lock(mutex_);
  has_step_ = false;
  if (style_) {
    last_ = metrics;
    losses_ = losses;
    last_s_ = clock_();
    return show(metrics, losses);
  }
  if (metrics.is_logged) print(format_step(metrics));
}

/// A line every twentieth stays, so that a window that was scrolled away tells the story.
void ConsoleMetrics::show(const StepMetrics& metrics, const LossHistory& losses) {
  const TerminalStyle style = style_();
  const auto twentieths_at = [&](std::int64_t steps) { return 20 * steps / std::max<std::int64_t>(1, metrics.max_steps); };
  if (twentieths_ < 0) twentieths_ = twentieths_at(metrics.step);
  const bool lasts = twentieths_at(metrics.step + 1) > twentieths_ || !metrics.updated;
  twentieths_ = twentieths_at(metrics.step + 1);
  if (lasts) print(format_lasting_line(metrics, losses, style));
  live(format_live_line(metrics, losses, style));
}

void ConsoleMetrics::step_under_way(const StepUnderWay* step) {
  if (!style_) return;
  const std::lock_guard lock(mutex_);
  has_step_ = step != nullptr;
  if (!has_step_) return;
  step_clock_.update(*step, clock_());
  last_.step = step->step - 1;
  last_.max_steps = step->max_steps;
}

void ConsoleMetrics::phase_under_way(const PhaseProgress* phase) {
  if (!style_) return;
  const std::lock_guard lock(mutex_);
  if (phase == nullptr) {
    // Figures stay until there are others.
    if (last_.elapsed_ms <= 0) clear_live_line();
    phase_.reset();
    return;
  }
  if (!phase_ || phase_->name != phase->name) {
    phase_ = Phase{.name = std::string(phase->name), .unit = std::string(phase->unit), .start_s = clock_()};
  }
  phase_->done = phase->done;
  phase_->total = phase->total;
}

void ConsoleMetrics::tick() {
  if (!style_) return;
  const std::lock_guard lock(mutex_);
  const double now_s = clock_();
  if (phase_) {
    show_phase(now_s);
  } else if (has_step_) {
    show_step(now_s);
  }
}

void ConsoleMetrics::show_phase(double now_s) {
  const double elapsed_s = now_s - phase_->start_s;
  if (elapsed_s < kShownAfterSeconds) return;
  if (last_.elapsed_ms <= 0) return live(format_progress(phase_->progress(), elapsed_s));
  show_work({.phase = phase_->progress(), .remaining_s = std::max(0.0, last_.remaining_s - (now_s - last_s_))});
}

void ConsoleMetrics::show_step(double now_s) {
  if (step_clock_.elapsed_s(now_s) < kShownAfterSeconds) return;
  show_work({.step_share = step_clock_.share(now_s),
             .micro_step = step_clock_.micro_step(now_s),
             .micro_steps = step_clock_.step().micro_steps,
             .remaining_s = step_clock_.remaining_s(now_s)});
}

void ConsoleMetrics::show_work(const WorkUnderWay& work) { live(format_live_line(last_, losses_, style_(), &work)); }

std::string ConsoleMetrics::coloured(std::string_view colour, std::string_view text) const {
  return style_ && style_().colours ? fmt::format("{}{}{}", colour, text, kPlainText) : std::string(text);
}

void ConsoleMetrics::evaluation(const EvalMetrics& m) {
  const std::lock_guard lock(mutex_);
  const std::string part = m.num_windows < m.total_windows
                               ? fmt::format(" ({} of {} windows)", format_count(m.num_windows), format_count(m.total_windows))
                               : "";
  print(fmt::format("eval {:>5}  val loss {:.4f}  perplexity {:.2f}  bits/byte {:.4f}  {} tokens{} in {:.1f} s{}", m.step,
                    plain_nan(m.loss), plain_nan(m.perplexity), plain_nan(m.bits_per_byte), format_count(m.num_tokens), part,
                    m.elapsed_ms / 1000, m.is_best ? "  " + coloured(kGreenText, "best") : ""));
}

void ConsoleMetrics::sample(std::int64_t step, std::string_view text) {
  const std::lock_guard lock(mutex_);
  print(fmt::format("---- sample at step {} ----\n{}\n----", step, text));
}

}  // namespace virgil
