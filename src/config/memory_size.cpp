// Amounts of memory as people write them.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>

#include "virgil/base/error.h"
#include "virgil/config/config_schema.h"

namespace virgil {
namespace {

struct MemoryUnit {
  std::string_view name;
  double bytes;
};

constexpr MemoryUnit kMemoryUnits[] = {
    {"b", 1},
    {"k", 1e3},
    {"kb", 1e3},
    {"m", 1e6},
    {"mb", 1e6},
    {"g", 1e9},
    {"gb", 1e9},
    {"t", 1e12},
    {"tb", 1e12},
    {"ki", 1 << 10},
    {"kib", 1 << 10},
    {"mi", 1 << 20},
    {"mib", 1 << 20},
    {"gi", 1 << 30},
    {"gib", 1 << 30},
    {"ti", 1099511627776.0},
    {"tib", 1099511627776.0},
};

/// Fewer are no memory to train in: whoever writes 12 means gigabytes.
constexpr double kLeastBareBytes = 1 << 20;

std::string lower_unit(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(' '), text.size());
  std::string unit(text.substr(begin));
  std::ranges::transform(unit, unit.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return unit;
}

struct ParsedSize {
  std::int64_t bytes = 0;
  std::string problem;  // empty: bytes holds
};

ParsedSize parse_size(std::string_view text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const bool is_number = error == std::errc() && std::isfinite(number) && number > 0;
  const std::string unit = lower_unit(std::string_view(stop, static_cast<std::size_t>(end - stop)));
  const auto* known = std::ranges::find(kMemoryUnits, unit, &MemoryUnit::name);
  if (!is_number || (!unit.empty() && known == std::end(kMemoryUnits))) {
    return {
        .problem =
            "is not an amount of memory; write a number and a unit, such as 12GB (10^9 bytes each), 12GiB (2^30 each) or 512MiB"};
  }
  const double bytes = unit.empty() ? number : number * known->bytes;
  constexpr double kMost = 9e18;  // below 2^63
  if (bytes >= kMost) return {.problem = "is more memory than can be counted; write an amount such as 12GB"};
  if (bytes < 1) return {.problem = "is less than a byte; write an amount such as 12GB"};
  if (unit.empty() && bytes < kLeastBareBytes) {
    return {.problem = fmt::format(
                "has no unit, and so many bytes hold no model; write {}GB (10^9 bytes each), {}GiB (2^30) or another unit",
                text, text)};
  }
  return {.bytes = static_cast<std::int64_t>(bytes), .problem = {}};
}

}  // namespace

std::string memory_size_problem(std::string_view text) { return parse_size(text).problem; }

std::int64_t parse_memory_size(std::string_view text) {
  constexpr std::size_t kMostShown = 100;
  const ParsedSize size = parse_size(text);
  if (!size.problem.empty()) throw user_error("\"{}\" {}", text.substr(0, kMostShown), size.problem);
  return size.bytes;
}

}  // namespace virgil
