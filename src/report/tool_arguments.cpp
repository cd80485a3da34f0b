#include "virgil/report/tool_arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>

#include "virgil/base/error.h"
#include "virgil/config/config_schema.h"
#include "virgil/config/foreign_names.h"

namespace virgil {

namespace {

std::string flag_name(std::string_view argument) {
  if (!argument.starts_with("--")) return {};
  std::string name(argument.substr(2, argument.find('=') - 2));
  std::ranges::replace(name, '-', '_');
  return name;
}

/// `kind` is what the flag takes, for the message.
template <typename Number>
Number parse_positive(std::string_view flag, std::string_view text, std::string_view kind) {
  Number number{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc::result_out_of_range && stop == end && !text.starts_with('-')) {
    throw user_error("--{} is \"{}\", which is out of range; it takes {}", flag, text, kind);
  }
  if (error != std::errc() || stop != end || !(number > 0) || number > std::numeric_limits<Number>::max()) {
    throw user_error("--{} is \"{}\", but takes {}", flag, text, kind);
  }
  return number;
}

}  // namespace

ToolArguments::ToolArguments(std::span<const std::string> arguments, std::span<const ToolFlag> flags) {
  using Takes = ToolFlag::Takes;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const std::string name = flag_name(argument);
    const auto flag = std::ranges::find(flags, name, &ToolFlag::name);
    if (flag == flags.end()) {
      others_.push_back(argument);
      continue;
    }
    std::vector<std::string>& values = values_[name];
    values.clear();
    const std::size_t equals = argument.find('=');
    if (equals != argument.npos) values.push_back(argument.substr(equals + 1));
    if (flag->takes == Takes::kNothing && !values.empty()) throw user_error("--{} takes no value", name);
    const std::size_t wanted = flag->takes == Takes::kNothing ? 0 : flag->takes == Takes::kTwoValues ? 2 : 1;
    while (values.size() < wanted && i + 1 < arguments.size() && !arguments[i + 1].starts_with("--")) {
      values.push_back(arguments[++i]);
    }
    if (values.size() < wanted && flag->takes != Takes::kOptionalValue) {
      throw user_error("--{}: {}; write --{} {}", name, wanted == 2 ? "it takes two values" : "its value is missing", name,
                       flag->values);
    }
  }
}

std::optional<std::string> ToolArguments::value(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) return std::nullopt;
  return found->second.empty() ? std::string() : found->second.front();
}

std::optional<double> ToolArguments::positive_number(std::string_view name) const {
  const auto text = value(name);
  if (!text) return std::nullopt;
  return parse_positive<double>(name, *text, "a positive number");
}

std::optional<std::int64_t> ToolArguments::positive_integer(std::string_view name) const {
  const auto text = value(name);
  if (!text) return std::nullopt;
  return parse_positive<std::int64_t>(name, *text, "a whole number of at least 1");
}

std::string describe_flags(std::span<const ToolFlag> flags) {
  constexpr std::size_t kColumn = 30;
  std::string text;
  for (const ToolFlag& flag : flags) {
    const std::string head = fmt::format("  --{}{}{}", flag.name, flag.values.empty() ? "" : " ", flag.values);
    text += head.size() + 2 > kColumn ? head + "\n" + std::string(kColumn, ' ') : fmt::format("{:<{}}", head, kColumn);
    text += flag.help + "\n";
  }
  return text;
}

CommandLine parse_config_flags(const ToolArguments& arguments, std::span<const ToolFlag> flags, std::string_view program,
                               WordsMean words_mean) {
  for (const std::string& argument : arguments.others()) {
    const std::string name = flag_name(argument);
    if (name.empty() || find_foreign_name(name) != nullptr) continue;
    const bool is_switched_off = name.starts_with("no_") && find_config_key(name.substr(3)) != nullptr;
    constexpr std::string_view kOwn[] = {"config", "config_file", "help", "version"};
    if (find_config_key(name) != nullptr || is_switched_off || std::ranges::find(kOwn, name) != std::end(kOwn)) continue;
    std::vector<std::string> names = {"config"};
    for (const ToolFlag& flag : flags) names.push_back(flag.name);
    std::string nearest = nearest_name(name, names);
    if (nearest.empty()) nearest = nearest_key(name);
    const std::string hint = nearest.empty() ? "" : fmt::format("; did you mean --{}?", nearest);
    throw user_error("--{}: unknown flag{} ({} --help lists all)", name.substr(0, 100), hint, program);
  }
  return parse_train_command_line(arguments.others(), program, words_mean);
}

}  // namespace virgil
