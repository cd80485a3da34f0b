#include "virgil/config/duration.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <string>
#include <system_error>

#include "virgil/base/error.h"

namespace virgil {

namespace {

struct TimeUnit {
  std::string_view name;
  double seconds;
};

constexpr TimeUnit kTimeUnits[] = {
    {"s", 1},       {"sec", 1},      {"second", 1},   {"seconds", 1}, {"m", 60},        {"min", 60},       {"mins", 60},
    {"minute", 60}, {"minutes", 60}, {"h", 3600},     {"hr", 3600},   {"hrs", 3600},    {"hour", 3600},    {"hours", 3600},
    {"d", 86400},   {"day", 86400},  {"days", 86400}, {"w", 604800},  {"week", 604800}, {"weeks", 604800},
};

constexpr std::size_t kMostShown = 60;
constexpr double kMostSeconds = 100 * 365.25 * 86400;

std::size_t skip_spaces(std::string_view text, std::size_t at) {
  return std::min(text.find_first_not_of(' ', at), text.size());
}

UserError no_duration(std::string_view text) {
  return user_error("\"{}\" is not a length of time; write a number and a unit, such as 90min, 2h, 1h30m or 3days",
                    text.substr(0, kMostShown));
}

}  // namespace

double parse_duration(std::string_view text) {
  double total = 0;
  std::size_t at = skip_spaces(text, 0);
  if (at == text.size()) throw no_duration(text);
  while (at < text.size()) {
    double number = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + at, end, number);
    if (error != std::errc() || !std::isfinite(number) || number < 0) throw no_duration(text);
    at = skip_spaces(text, static_cast<std::size_t>(stop - text.data()));
    std::string name;
    for (; at < text.size() && std::isalpha(static_cast<unsigned char>(text[at])) != 0; ++at)
      name += static_cast<char>(std::tolower(static_cast<unsigned char>(text[at])));
    if (name.empty() && at == text.size() && total == 0 && number > 0) {
      throw user_error("\"{}\" has no unit; write {}h for hours, {}min for minutes or {}days", text.substr(0, kMostShown),
                       text.substr(0, kMostShown), text.substr(0, kMostShown), text.substr(0, kMostShown));
    }
    const auto* unit = std::ranges::find(kTimeUnits, name, &TimeUnit::name);
    if (unit == std::end(kTimeUnits)) throw no_duration(text);
    total += number * unit->seconds;
    at = skip_spaces(text, at);
  }
  if (!(total > 0)) throw user_error("\"{}\" is no time at all; write a length such as 2h", text.substr(0, kMostShown));
  if (total > kMostSeconds) {
    throw user_error("\"{}\" is more than 100 years; write a length such as 2h", text.substr(0, kMostShown));
  }
  return total;
}

}  // namespace virgil
