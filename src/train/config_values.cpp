// One key, one value: parsing and checking. Every source of configuration ends here, so that flags and files obey one rule.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "config_text.h"
#include "virgil/base/error.h"
#include "virgil/base/shape.h"
#include "virgil/train/config_schema.h"

namespace virgil {
namespace {

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

template <typename Number>
bool in_range(const ConfigKey& key, Number number) {
  if (key.min == key.max) return true;
  const auto value = static_cast<double>(number);
  return value >= key.min && value <= key.max;
}

/// The field's value that `text` stands for, or nothing when it is of the wrong type, out of range or not allowed.
template <typename Value>
std::optional<Value> parse_value(const ConfigKey& key, std::string_view text) {
  if constexpr (std::is_same_v<Value, std::int64_t>) {
    if (!key.zero_word.empty() && text == key.zero_word) return 0;
  }
  if constexpr (std::is_same_v<Value, bool>) {
    if (text != "true" && text != "false") return std::nullopt;
    return text == "true";
  } else if constexpr (std::is_same_v<Value, std::vector<std::string>>) {
    return text.empty() ? Value{} : Value{std::string(text)};
  } else if constexpr (std::is_same_v<Value, std::string>) {
    if (!key.choices.empty() && std::ranges::find(key.choices, text) == key.choices.end()) return std::nullopt;
    return std::string(text);
  } else {
    const std::optional<Value> number = parse_number<Value>(text);
    if (!number || !in_range(key, *number)) return std::nullopt;
    if constexpr (std::is_same_v<Value, double>) {
      if (!std::isfinite(*number)) return std::nullopt;
    }
    return number;
  }
}

/// Frameworks call recomputation gradient checkpointing, a switch: true means whole blocks.
std::string_view replace_switch(const ConfigKey& key, std::string_view value) {
  if (key.name != "recompute") return value;
  if (value == "true") return "block";
  return value == "false" ? "none" : value;
}

/// Configs are saved as JSON, which has no way to write other bytes.
bool is_utf8(std::string_view text) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
    return true;
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

/// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> distance(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) distance[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) distance[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = distance[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      distance[i][j] = std::min({distance[i - 1][j] + 1, distance[i][j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) distance[i][j] = std::min(distance[i][j], distance[i - 2][j - 2] + 1);
    }
  }
  return distance[a.size()][b.size()];
}

std::string unknown_key_message(std::string_view key, std::string_view where) {
  std::vector<std::string> names;
  for (const ConfigKey& known : config_keys()) {
    names.push_back(known.name);
    names.insert(names.end(), known.aliases.begin(), known.aliases.end());
  }
  const std::string nearest = nearest_name(key, names);
  const std::string hint = nearest.empty() ? "" : fmt::format("did you mean \"{}\"? ", nearest);
  return fmt::format("{}: unknown key \"{}\"; {}train --help lists all keys", where, key, hint);
}

void check_utf8(const ConfigKey& key, std::string_view value, std::string_view where) {
  if (!is_utf8(value)) throw user_error("{}: the value of {} is not UTF-8 text; convert or rename it", where, key.name);
}

}  // namespace

bool is_list(const ConfigKey& key) { return std::holds_alternative<std::vector<std::string> TrainConfig::*>(key.member); }

void set_config_list(TrainConfig& config, const ConfigKey& key, std::span<const std::string> values, std::string_view where) {
  VIRGIL_CHECK(is_list(key), "{} takes one value", key.name);
  if (values.size() == 1) return set_config_value(config, key.name, values.front(), where);
  for (const std::string& value : values) {
    check_utf8(key, value, where);
    if (value.empty())
      throw user_error("{}: one of the {} values of {} is empty; leave it out", where, values.size(), key.name);
  }
  config.*std::get<std::vector<std::string> TrainConfig::*>(key.member) = {values.begin(), values.end()};
}

void set_config_value(TrainConfig& config, std::string_view key_name, std::string_view value, std::string_view where) {
  const ConfigKey* key = find_config_key(key_name);
  if (key == nullptr) throw UserError(unknown_key_message(key_name, where));
  check_utf8(*key, value, where);
  value = replace_switch(*key, value);
  std::visit(
      [&](auto member) {
        using Value = std::remove_reference_t<decltype(config.*member)>;
        std::optional<Value> parsed = parse_value<Value>(*key, value);
        if (!parsed) {
          const std::string nearest = nearest_name(value, key->choices);
          const std::string hint = nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest);
          throw user_error("{}: {} is \"{}\", but takes {}{}", where, key->name, value, allowed_text(*key), hint);
        }
        const std::string defect = key->check == nullptr ? "" : key->check(value);
        if (!defect.empty()) throw user_error("{}: {} = \"{}\" {}", where, key->name, value, defect);
        config.*member = std::move(*parsed);
      },
      key->member);
}

std::int64_t parse_memory_size(std::string_view text) {
  struct Unit {
    std::string_view name;
    std::int64_t bytes;
  };
  constexpr Unit kUnits[] = {
      {"", 1},
      {"B", 1},
      {"KB", 1000},
      {"MB", 1'000'000},
      {"GB", 1'000'000'000},
      {"TB", 1'000'000'000'000},
      {"KiB", std::int64_t{1} << 10},
      {"MiB", std::int64_t{1} << 20},
      {"GiB", std::int64_t{1} << 30},
      {"TiB", std::int64_t{1} << 40},
  };
  const std::size_t num_digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = parse_number<std::int64_t>(text.substr(0, num_digits));
  const auto* unit = std::ranges::find(kUnits, text.substr(num_digits), &Unit::name);
  if (!number || *number <= 0 || unit == std::ranges::end(kUnits)) {
    throw user_error(
        "\"{}\" is not an amount of memory; write a whole number with B, KB, MB, GB, TB (powers of 1000), "
        "KiB, MiB, GiB or TiB (powers of 1024), such as 12GB",
        text);
  }
  if (*number > std::numeric_limits<std::int64_t>::max() / unit->bytes) {
    throw user_error("\"{}\" is more memory than can be counted; write an amount such as 12GB", text);
  }
  return *number * unit->bytes;
}

std::string nearest_name(std::string_view word, std::span<const std::string> candidates) {
  // A third of the word may be wrong: more, and the suggestion is a guess. The cap keeps a pasted file out of the n^2 loop.
  constexpr std::size_t kMaxLength = 100;
  if (word.empty() || word.size() > kMaxLength) return {};
  std::size_t best = std::max<std::size_t>(1, word.size() / 3);
  std::string nearest;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best || (distance == best && nearest.empty())) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace virgil
