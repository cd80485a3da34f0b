#include "virgil/train/live_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "virgil/base/format.h"
#include "virgil/base/progress.h"

namespace virgil {

namespace {

constexpr int kFirstOptionalRank = 6;

/// What a line may say, short forms before longer ones.
struct Field {
  std::vector<std::string> forms;
  int rank = 0;  // the lower, the longer it stays when there is no room
  std::string_view colour = {};
  bool elastic = false;
  std::size_t form = 0;
  bool shown = false;

  [[nodiscard]] const std::string& text() const { return forms[form]; }
};

/// Puts fields into so many columns, in the order in which they were added.
class Line {
 public:
  explicit Line(std::size_t columns) : columns_(columns) {}

  void add(int rank, std::initializer_list<std::string> forms, std::string_view colour = {}) {
    fields_.push_back({.forms = forms, .rank = rank, .colour = colour});
  }
  /// A field that is made once it is known how much room is left, for at least `least` and at most `most` columns.
  template <typename Make>
  void add_elastic(int rank, std::size_t least, std::size_t most, std::string_view colour, const Make& make) {
    Field field{.forms = {}, .rank = rank, .colour = colour, .elastic = true};
    for (std::size_t width = least; width <= most; ++width) field.forms.push_back(make(width));
    fields_.push_back(std::move(field));
  }

  std::string format(bool colours) {
    // First everything that matters, then in words that need no explanation, then the rest, and bars into what is left.
    for (const int rank : ranks()) {
      if (rank < kFirstOptionalRank) show(rank);
    }
    grow(false);
    for (const int rank : ranks()) {
      if (rank >= kFirstOptionalRank) show(rank);
    }
    grow(false);
    grow(true);
    std::string text;
    for (const Field& field : fields_) {
      if (!field.shown || field.text().empty()) continue;
      if (!text.empty()) text += std::string(gap_, ' ');
      const bool coloured = colours && !field.colour.empty();
      text += coloured ? fmt::format("{}{}{}", field.colour, field.text(), kPlainText) : field.text();
    }
    return text;
  }

 private:
  [[nodiscard]] std::set<int> ranks() const {
    std::set<int> ranks;
    for (const Field& field : fields_) ranks.insert(field.rank);
    return ranks;
  }
  [[nodiscard]] std::size_t width() const {
    std::size_t sum = 0;
    for (const Field& field : fields_) {
      if (!field.shown || field.text().empty()) continue;
      sum += (sum == 0 ? 0 : gap_) + text_columns(field.text());
    }
    return sum;
  }
  void show(int rank) {
    for (Field& field : fields_) {
      if (field.rank != rank) continue;
      field.shown = true;
      if (width() > columns_) field.shown = false;
    }
  }
  /// Takes longer forms where there is room for them: of the elastic fields, or of the others.
  void grow(bool elastic) {
    if (elastic && width() + fields_.size() <= columns_) gap_ = 2;
    for (const int rank : ranks()) {
      for (Field& field : fields_) {
        if (field.rank != rank || field.elastic != elastic || !field.shown) continue;
        while (field.form + 1 < field.forms.size()) {
          ++field.form;
          if (width() <= columns_) continue;
          --field.form;
          break;
        }
      }
    }
  }

  std::size_t columns_;
  std::size_t gap_ = 1;
  std::vector<Field> fields_;
};

/// "3,378", "123k".
std::string short_rate(double tokens_per_s) {
  if (tokens_per_s < 99'950) return format_count(std::llround(tokens_per_s));
  return tokens_per_s < 9.995e6 ? fmt::format("{:.0f}k", tokens_per_s / 1e3) : fmt::format("{:.0f}M", tokens_per_s / 1e6);
}

/// Held, peak and planned in the unit of the planned ones: "61/61/64 MiB", or "61.2 (peak 61.4) of 64.0 MiB".
std::string memory_text(const MemoryUse& memory, bool is_short) {
  const double unit = memory.planned_bytes >= (std::int64_t{1} << 30) ? 0x1.0p30 : 0x1.0p20;
  const auto amount = [&](std::int64_t bytes) {
    const double value = static_cast<double>(bytes) / unit;
    return is_short && value >= 9.95 ? fmt::format("{:.0f}", value) : fmt::format("{:.1f}", value);
  };
  const std::string held = amount(memory.allocated_bytes);
  const std::string peak = amount(memory.peak_bytes);
  const std::string planned = amount(memory.planned_bytes);
  const char* name = unit == 0x1.0p30 ? "GiB" : "MiB";
  return is_short ? fmt::format("mem {}/{}/{} {}", held, peak, planned, name)
                  : fmt::format("mem {} (peak {}) of {} {}", held, peak, planned, name);
}

void add_device(Line& line, int rank, const StepMetrics& metrics) {
  if (!metrics.memory.device) return;
  const DeviceMemory& device = *metrics.memory.device;
  line.add(rank, {fmt::format("device {} of {}", format_bytes(device.total_bytes - device.free_bytes),
                              format_bytes(device.total_bytes))});
}

void add_slowest(Line& line, int rank, const StepMetrics& metrics) {
  if (metrics.ranks.size() < 2) return;
  const std::size_t slowest = slowest_rank(metrics.ranks);
  line.add(rank, {fmt::format("slowest rank {} {:.0f} ms", slowest, metrics.ranks[slowest].compute_ms)});
}

/// "675/1500", or "675.31/1500" in the midst of the next step.
std::string steps_text(const StepMetrics& m, const WorkUnderWay* work) {
  const std::size_t digits = std::to_string(m.max_steps).size();
  if (work == nullptr || work->phase) return fmt::format("{:>{}}/{}", m.step + 1, digits, m.max_steps);
  const auto hundredths = static_cast<std::int64_t>(100 * work->step_share);
  return fmt::format("{:>{}}.{:02}/{}", m.step + 1, digits, hundredths, m.max_steps);
}

/// "eval 37%", or in more words where there is room.
void add_phase(Line& line, int rank, const PhaseProgress& phase) {
  const std::string_view brief = phase.name == "evaluating" ? "eval" : phase.name;
  const std::int64_t total = std::max(phase.done, phase.total);
  const std::string amount = phase.total > 0 ? fmt::format("{}%", 100 * phase.done / total) : format_count(phase.done);
  const std::string all = phase.total > 0
                              ? fmt::format(", {} of {} {}", format_count(phase.done), format_count(total), phase.unit)
                              : fmt::format(" {}", phase.unit);
  line.add(rank, {fmt::format("{} {}", brief, amount), fmt::format("{} {}{}", phase.name, amount, all)}, kYellowText);
}

std::string format_line(const StepMetrics& m, const LossHistory& history, const TerminalStyle& style, bool has_bar,
                        const WorkUnderWay* work = nullptr) {
  // The last column stays free: some terminals wrap as soon as it is written.
  Line line(static_cast<std::size_t>(std::max(1, style.columns - 1)));
  const double steps = static_cast<double>(m.step + 1) + (work != nullptr ? work->step_share : 0);
  const double share = steps / static_cast<double>(std::max<std::int64_t>(1, m.max_steps));
  line.add(0, {fmt::format("{:3.0f}%", std::floor(100 * share))}, kGreenText);
  if (has_bar) {
    line.add_elastic(5, 5, 24, kGreenText, [&](std::size_t width) { return progress_bar(share, width, style.unicode); });
  }
  line.add(1, {steps_text(m, work)});
  if (work != nullptr && work->phase) add_phase(line, 1, *work->phase);
  if (work != nullptr && !work->phase && work->micro_steps > 1) {
    line.add(6, {fmt::format("micro {}/{}", work->micro_step, work->micro_steps),
                 fmt::format("micro-step {} of {}", work->micro_step, work->micro_steps)});
  }
  const double remaining_s = work != nullptr ? work->remaining_s : m.remaining_s;
  const std::string left = format_duration(remaining_s);
  if (m.elapsed_ms <= 0) {  // no step is over
    if (remaining_s > 0) line.add(2, {left, left + " left"});
    return line.format(style.colours);
  }
  const bool has_loss = std::isfinite(m.loss) && !history.empty();
  line.add(0, {has_loss ? fmt::format("loss {:.3f}", history.smoothed()) : fmt::format("loss {}", plain_nan(m.loss))},
           kBoldText);
  line.add_elastic(4, 5, 32, kGreenText, [&](std::size_t width) { return sparkline(history.points(width), style.unicode); });
  line.add(3, {fmt::format("{} tok/s", short_rate(m.tokens_per_s))});
  line.add(3, {memory_text(m.memory, true), memory_text(m.memory, false)});
  line.add(2, {left, left + " left"});
  if (!m.updated) line.add(0, {"NOT APPLIED"}, kRedText);
  line.add(6, {fmt::format("lr {:.1e}", m.learning_rate)}, kDimText);
  line.add(7, {fmt::format("norm {:.2f}", plain_nan(m.grad_norm))}, kDimText);
  if (m.loss_scale > 0) line.add(7, {fmt::format("scale {}", m.loss_scale)}, kDimText);
  line.add(8, {fmt::format("{:.0f} ms", m.elapsed_ms)}, kDimText);
  add_device(line, 9, m);
  add_slowest(line, 9, m);
  line.add(
      10,
      {fmt::format("rss {}", format_bytes(m.memory.process_rss_bytes)),
       fmt::format("rss {} (peak {})", format_bytes(m.memory.process_rss_bytes), format_bytes(m.memory.process_peak_bytes))},
      kDimText);
  return line.format(style.colours);
}

}  // namespace

std::string format_live_line(const StepMetrics& metrics, const LossHistory& history, const TerminalStyle& style,
                             const WorkUnderWay* work) {
  return format_line(metrics, history, style, true, work);
}

std::string format_lasting_line(const StepMetrics& metrics, const LossHistory& history, const TerminalStyle& style) {
  return format_line(metrics, history, style, false);
}

std::string progress_bar(double share, std::size_t width, bool unicode) {
  constexpr std::array<std::string_view, 8> kEighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto cells = static_cast<double>(width) * std::clamp(share, 0.0, 1.0);
  const auto full = static_cast<std::size_t>(cells);
  const auto eighths = static_cast<std::size_t>((cells - std::floor(cells)) * 8);
  std::string bar;
  for (std::size_t i = 0; i < full; ++i) bar += unicode ? "█" : "#";
  std::size_t used = full;
  if (unicode && eighths > 0) {
    bar += kEighths[eighths];
    ++used;
  }
  for (; used < width; ++used) bar += unicode ? "░" : "-";
  return bar;
}

std::string sparkline(std::span<const double> points, bool unicode) {
  constexpr std::array<std::string_view, 8> kBlocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  constexpr std::array<std::string_view, 8> kAscii = {"_", ".", ",", "-", "=", "+", "*", "#"};
  if (points.empty()) return {};
  const auto [lowest, highest] = std::ranges::minmax(points);
  const double range = highest - lowest;
  std::string line;
  for (const double point : points) {
    const double height = range > 0 ? (point - lowest) / range : 0;
    const auto level = std::min<std::size_t>(7, static_cast<std::size_t>(height * 8));
    line += (unicode ? kBlocks : kAscii)[level];
  }
  return line;
}

}  // namespace virgil
