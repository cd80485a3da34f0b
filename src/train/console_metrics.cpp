#include "virgil/train/console_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "virgil/base/format.h"
#include "virgil/train/live_line.h"

namespace virgil {

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

void ConsoleMetrics::info(std::string_view line) { print(line); }
void ConsoleMetrics::warn(std::string_view line) { print(fmt::format("{} {}", coloured(kYellowText, "warning:"), line)); }

void ConsoleMetrics::step(const StepMetrics& metrics, const LossHistory& losses) {
  if (style_) return show(metrics, losses);
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

std::string ConsoleMetrics::coloured(std::string_view colour, std::string_view text) const {
  return style_ && style_().colours ? fmt::format("{}{}{}", colour, text, kPlainText) : std::string(text);
}

void ConsoleMetrics::evaluation(const EvalMetrics& m) {
  const std::string part = m.num_windows < m.total_windows
                               ? fmt::format(" ({} of {} windows)", format_count(m.num_windows), format_count(m.total_windows))
                               : "";
  print(fmt::format("eval {:>5}  val loss {:.4f}  perplexity {:.2f}  bits/byte {:.4f}  {} tokens{} in {:.1f} s{}", m.step,
                    plain_nan(m.loss), plain_nan(m.perplexity), plain_nan(m.bits_per_byte), format_count(m.num_tokens), part,
                    m.elapsed_ms / 1000, m.is_best ? "  " + coloured(kGreenText, "best") : ""));
}

void ConsoleMetrics::sample(std::int64_t step, std::string_view text) {
  print(fmt::format("---- sample at step {} ----\n{}\n----", step, text));
}

}  // namespace virgil
