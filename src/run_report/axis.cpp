#include "run_report/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>

namespace virgil {

namespace {

constexpr double kLargest = 1e300;

/// The smallest of 1, 2 and 5 times a power of ten that is at least `size`.
double nice_step(double size) {
  const double power = std::pow(10.0, std::floor(std::log10(size)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= size * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

/// "5e-05" -> "5e-5".
std::string short_exponent(std::string text) {
  const std::size_t e = text.find('e');
  if (e == text.npos) return text;
  std::size_t digits = e + 2;
  while (digits + 1 < text.size() && text[digits] == '0') text.erase(digits, 1);
  if (text[e + 1] == '+') text.erase(e + 1, 1);
  return text;
}

int power_of(double value) { return value == 0 ? 0 : static_cast<int>(std::floor(std::log10(std::abs(value)) + 1e-9)); }

std::string tick_label(double value, double step) {
  if (value == 0) return "0";
  const int finest = power_of(step);
  const int largest = power_of(value);
  if (largest >= 12 || finest < -4) {
    const int decimals = std::clamp(largest - finest, 0, 15);
    return short_exponent(fmt::format("{:.{}e}", value, decimals));
  }
  return number_text(value, std::max(0, -finest));
}

/// Widens what is no range: all values the same, or nearer to each other than a double tells.
std::pair<double, double> widened(double low, double high) {
  constexpr double kNothing = 1e-280;  // a step of a range below it would be lost
  const double size = std::max(std::abs(low), std::abs(high));
  if (high - low > std::max(size * 1e-9, kNothing)) return {low, high};
  const double around = size < kNothing ? 1 : size * 0.05;
  return {low - around, high + around};
}

}  // namespace

bool is_plottable(double value) { return std::abs(value) <= kLargest; }

double Axis::place(double value) const {
  if (is_log) return (std::log10(value) - std::log10(low)) / (std::log10(high) - std::log10(low));
  return (value - low) / (high - low);
}

Axis linear_axis(double low, double high, int most_ticks, AxisEnds ends) {
  std::tie(low, high) = widened(low, high);
  const double step = nice_step((high - low) / std::max(1, most_ticks));
  if (ends == AxisEnds::kRound) {
    low = std::floor(low / step + 1e-9) * step;
    high = std::ceil(high / step - 1e-9) * step;
  }
  Axis axis{.low = low, .high = high, .is_log = false, .ticks = {}};
  const double first = std::ceil(low / step - 1e-9);
  const double last = std::floor(high / step + 1e-9);
  for (int i = 0; i <= most_ticks + 2 && first + i <= last; ++i) {
    const double value = (first + i) * step;
    axis.ticks.push_back({value, tick_label(value, step)});
  }
  return axis;
}

Axis log_axis(double low, double high, int most_ticks) {
  if (!(high > low * 1.001)) {
    low /= 2;
    high *= 2;
  }
  Axis axis{.low = low, .high = high, .is_log = true, .ticks = {}};
  const int first = power_of(low) - 1;
  const int last = power_of(high) + 1;
  const double decades = std::log10(high) - std::log10(low);
  const int stride = std::max(1, static_cast<int>(std::ceil(decades / most_ticks)));
  const auto add = [&](int power, double factor) {
    const double value = factor * std::pow(10.0, power);
    if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) axis.ticks.push_back({value, tick_label(value, value)});
  };
  for (int power = first; power <= last; ++power) {
    if (power % stride != 0) continue;
    add(power, 1);
    if (decades * 3 <= most_ticks) add(power, 2);
    if (decades * 2 <= most_ticks) add(power, 5);
  }
  if (axis.ticks.size() >= 2) return axis;
  axis.ticks = linear_axis(low, high, most_ticks, AxisEnds::kExact).ticks;
  std::erase_if(axis.ticks, [](const Tick& tick) { return !(tick.value > 0); });
  return axis;
}

std::string number_text(double value, int decimals) {
  std::string text = fmt::format("{:.{}f}", value, decimals);
  const std::size_t begin = text.starts_with('-') ? 1 : 0;
  std::size_t at = std::min(text.find('.'), text.size());
  while (at > begin + 3) {
    at -= 3;
    text.insert(at, 1, ',');
  }
  // -0.0 is nothing that people know.
  return begin == 1 && text.find_first_of("123456789") == text.npos ? text.substr(1) : text;
}

std::string value_text(double value, int digits) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "∞" : "-∞";
  const int power = power_of(value);
  if (power >= 15 || power < -4) return short_exponent(fmt::format("{:.{}e}", value, std::max(0, digits - 1)));
  return number_text(value, std::clamp(digits - 1 - power, 0, 15));
}

}  // namespace virgil
