#include "virgil/config/program_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>

#include "virgil/base/error.h"

namespace virgil {

namespace {

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

/// `text` in lines of at most `width` characters, broken at spaces, each but the first after `indent` spaces.
std::string wrap(std::string_view text, std::size_t width, std::size_t indent) {
  std::string result;
  while (text.size() > width) {
    const std::size_t cut = text.rfind(' ', width);
    if (cut == text.npos) break;
    result += fmt::format("{}\n{}", text.substr(0, cut), std::string(indent, ' '));
    text.remove_prefix(cut + 1);
  }
  return result += text;
}

}  // namespace

void ToolArguments::remove(std::string_view name) {
  std::erase_if(given_, [&](const Given& given) { return given.name == name; });
}

const ToolArguments::Given* ToolArguments::find(std::string_view name) const {
  for (auto given = given_.rbegin(); given != given_.rend(); ++given) {
    if (given->name == name) return &*given;
  }
  return nullptr;
}

std::optional<std::string> ToolArguments::value(std::string_view name) const {
  const Given* given = find(name);
  if (given == nullptr) return std::nullopt;
  return given->values.empty() ? std::string() : given->values.front();
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

std::string help_entry(const std::string& head, std::string_view help) {
  constexpr std::size_t kColumn = 26;
  constexpr std::size_t kWidth = 112;
  const std::size_t length = head.size() + 2;
  const std::string gap = length + 2 > kColumn ? "\n" + std::string(kColumn, ' ') : std::string(kColumn - length, ' ');
  return fmt::format("  {}{}{}\n", head, gap, wrap(help, kWidth - kColumn, kColumn));
}

std::string describe_flags(std::span<const ToolFlag> flags) {
  std::string text;
  for (const ToolFlag& flag : flags) {
    text += help_entry(fmt::format("--{}{}{}", flag.name, flag.values.empty() ? "" : " ", flag.values), flag.help);
  }
  return text;
}

}  // namespace virgil
