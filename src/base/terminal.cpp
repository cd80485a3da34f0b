#include "virgil/base/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <string_view>

namespace virgil {

namespace {

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

int count_columns(int descriptor) {
  constexpr int kUsual = 80;
  winsize size{};
  return ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kUsual;
}

}  // namespace

/// As setlocale() chooses, which nothing here calls: the first that is set counts.
bool has_utf8_locale() {
  std::string_view locale;
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    locale = variable(name);
    if (!locale.empty()) break;
  }
  return locale.find("UTF-8") != locale.npos || locale.find("utf8") != locale.npos || locale.find("UTF8") != locale.npos ||
         locale.find("utf-8") != locale.npos;
}

std::optional<TerminalStyle> terminal_style(int descriptor) {
  const std::string_view term = variable("TERM");
  if (isatty(descriptor) != 1 || term.empty() || term == "dumb") return std::nullopt;
  return TerminalStyle{
      .columns = count_columns(descriptor), .colours = variable("NO_COLOR").empty(), .unicode = has_utf8_locale()};
}

std::size_t text_columns(std::string_view text) {
  const auto is_first_byte = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; };
  return static_cast<std::size_t>(std::ranges::count_if(text, is_first_byte));
}

}  // namespace virgil
