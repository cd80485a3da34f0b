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

#include "virgil/base/error.h"
#include "virgil/base/shape.h"
#include "virgil/config/config_schema.h"
#include "virgil/config/config_text.h"
#include "virgil/config/foreign_names.h"
#include "virgil/config/value_words.h"

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
    if (const ConfigKey::Word* word = find_word(key, text)) return word->value;
  }
  if constexpr (std::is_same_v<Value, bool>) {
    return parse_switch(text);
  } else if constexpr (std::is_same_v<Value, std::vector<std::string>>) {
    return text.empty() ? Value{} : Value{std::string(text)};
  } else if constexpr (std::is_same_v<Value, std::string>) {
    if (!key.choices.empty() && std::ranges::find(key.choices, text) == key.choices.end()) return std::nullopt;
    return std::string(text);
  } else {
    const std::string digits = std::is_same_v<Value, double> ? std::string(text) : plain_whole_number(text);
    const std::optional<Value> number = parse_number<Value>(digits);
    if (!number || !in_range(key, *number)) return std::nullopt;
    if constexpr (std::is_same_v<Value, double>) {
      if (!std::isfinite(*number)) return std::nullopt;
    }
    return number;
  }
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

/// Values of any length stand in messages with their beginning.
std::string shortened(std::string_view value) {
  constexpr std::size_t kMostShown = 100;
  return value.size() <= kMostShown ? std::string(value) : std::string(value.substr(0, kMostShown)) + "...";
}

std::string unknown_key_message(std::string_view key, std::string_view where) {
  if (const ForeignName* foreign = find_foreign_name(key)) {
    const std::string meaning = foreign->key.empty()  ? std::string(foreign->note)
                                : foreign->on.empty() ? fmt::format("the key is \"{}\"", foreign->key)
                                                      : fmt::format("write \"{}\": \"{}\"", foreign->key, foreign->on);
    return fmt::format("{}: \"{}\" is not a key here: {}", where, shortened(key), meaning);
  }
  const std::string nearest = nearest_key(key);
  const std::string hint = nearest.empty() ? "" : fmt::format("did you mean \"{}\"? ", nearest);
  return fmt::format("{}: unknown key \"{}\"; {}the --help of train lists all keys", where, shortened(key), hint);
}

/// "configs/a.json: n_layer", or "--n_layer", which says both.
std::string named_at(const ConfigKey& key, std::string_view where) {
  const bool says_both = where.starts_with("--") && where.substr(2) == key.name;
  return says_both ? std::string(where) : fmt::format("{}: {}", where, key.name);
}

std::string bad_value_message(const ConfigKey& key, std::string_view value, std::string_view where) {
  const std::string reason = why_not(key, value);
  const std::string nearest = nearest_name(value, key.choices);
  const std::string hint = !reason.empty()   ? fmt::format(": {}", reason)
                           : nearest.empty() ? ""
                                             : fmt::format("; did you mean \"{}\"?", nearest);
  return fmt::format("{} is \"{}\", but takes {}{}", named_at(key, where), shortened(value), allowed_text(key), hint);
}

void check_utf8(const ConfigKey& key, std::string_view value, std::string_view where) {
  if (value.find('\0') != value.npos) {
    throw user_error("{}: the value of {} holds a NUL, which no path and no name may; leave it out", where, key.name);
  }
  if (!is_utf8(value)) throw user_error("{}: the value of {} is not UTF-8 text; convert or rename it", where, key.name);
}

/// What the key's own check has against `value`, which the user wrote as `asked`.
void expect_no_defect(const ConfigKey& key, std::string_view value, std::string_view asked, std::string_view where) {
  const std::string defect = key.check == nullptr ? "" : key.check(value);
  if (defect.empty()) return;
  const std::string reason = why_not(key, asked);
  throw user_error("{} = \"{}\" {}{}{}", named_at(key, where), shortened(asked), defect, reason.empty() ? "" : ": ", reason);
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
    expect_no_defect(key, value, value, where);
  }
  config.*std::get<std::vector<std::string> TrainConfig::*>(key.member) = {values.begin(), values.end()};
}

void set_config_value(TrainConfig& config, std::string_view key_name, std::string_view value, std::string_view where) {
  const ConfigKey* key = find_config_key(key_name);
  if (key == nullptr) throw UserError(unknown_key_message(key_name, where));
  check_utf8(*key, value, where);
  const std::string asked(value);
  const std::string known = known_word(*key, value);
  value = known;
  std::visit(
      [&](auto member) {
        using Value = std::remove_reference_t<decltype(config.*member)>;
        std::optional<Value> parsed = parse_value<Value>(*key, value);
        if (!parsed) throw UserError(bad_value_message(*key, asked, where));
        expect_no_defect(*key, value, asked, where);
        config.*member = std::move(*parsed);
      },
      key->member);
}

std::string nearest_key(std::string_view word) {
  std::vector<std::string> names;
  for (const ConfigKey& known : config_keys()) {
    names.push_back(known.name);
    names.insert(names.end(), known.aliases.begin(), known.aliases.end());
  }
  for (const ForeignName& foreign : foreign_names()) {
    if (foreign.kind == ForeignName::Kind::kSame) names.emplace_back(foreign.name);
  }
  const std::string nearest = nearest_name(word, names);
  const ForeignName* foreign = find_foreign_name(nearest);
  return foreign == nullptr ? nearest : std::string(foreign->key);
}

}  // namespace virgil
