#include "virgil/base/format.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace virgil {

std::string format_count(std::int64_t count) {
  std::string digits = std::to_string(count);
  for (auto at = static_cast<std::int64_t>(digits.size()) - 3; at > (count < 0 ? 1 : 0); at -= 3) {
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return digits;
}

double plain_nan(double value) { return std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value; }

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e15) return "?";
  const auto total = static_cast<std::int64_t>(std::llround(seconds));
  constexpr std::int64_t kHour = 3600;
  constexpr std::int64_t kDay = 24 * kHour;
  if (total >= 2 * kDay) return fmt::format("{}d{:02}h", total / kDay, total % kDay / kHour);
  if (total >= kHour) return fmt::format("{}h{:02}m", total / kHour, total / 60 % 60);
  if (total >= 60) return fmt::format("{}m{:02}s", total / 60, total % 60);
  return fmt::format("{}s", total);
}

std::string duration_in_words(double seconds) {
  constexpr double kDay = 24 * 3600;
  constexpr double kYear = 365.25 * kDay;
  if (!(seconds >= 2 * kDay && seconds <= 1e20)) return format_duration(seconds);
  if (seconds < 2 * kYear) return fmt::format("{:.0f} days", seconds / kDay);
  if (seconds < 100 * kYear) return fmt::format("{:.1f} years", seconds / kYear);
  return fmt::format("{} years", format_count(std::llround(seconds / kYear)));
}

std::string format_bytes(std::int64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes >= std::int64_t{1} << 30) return fmt::format("{:.2f} GiB", value / (1 << 30));
  if (bytes >= std::int64_t{1} << 20) return fmt::format("{:.1f} MiB", value / (1 << 20));
  return fmt::format("{:.1f} KiB", value / (1 << 10));
}

std::string format_gib(std::int64_t bytes) { return fmt::format("{:.2f}", static_cast<double>(bytes) / (1 << 30)); }

}  // namespace virgil
