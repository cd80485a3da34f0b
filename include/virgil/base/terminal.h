// What the terminal behind a stream can show.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace virgil {

// ANSI sequences, each in force until kPlainText.
inline constexpr std::string_view kBoldText = "\x1b[1m";
inline constexpr std::string_view kDimText = "\x1b[2m";
inline constexpr std::string_view kRedText = "\x1b[31m";
inline constexpr std::string_view kGreenText = "\x1b[32m";
inline constexpr std::string_view kYellowText = "\x1b[33m";
inline constexpr std::string_view kPlainText = "\x1b[0m";

struct TerminalStyle {
  int columns = 80;
  bool colours = false;
  bool unicode = false;  // block characters, one column each
};

/// Of a descriptor, as it is now: a window may be resized. Nothing where it is no terminal, or one that cannot rewrite a line
/// (TERM is unset or "dumb"). NO_COLOR, set and not empty, is respected (https://no-color.org).
[[nodiscard]] std::optional<TerminalStyle> terminal_style(int descriptor);

/// Whether the environment's locale (LC_ALL, LC_CTYPE, LANG) is one of UTF-8.
[[nodiscard]] bool has_utf8_locale();

/// Columns that UTF-8 text without control characters takes, each of its characters being one wide.
[[nodiscard]] std::size_t text_columns(std::string_view text);

}  // namespace virgil
