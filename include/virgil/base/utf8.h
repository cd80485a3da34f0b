// UTF-8 as Unicode defines it (The Unicode Standard, table 3-7): no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace virgil {

/// A character read from UTF-8; length 0 marks a byte that starts no well-formed character.
struct Utf8Char {
  std::uint32_t code_point = 0;
  std::uint32_t length = 0;
};

inline constexpr std::uint32_t kCodePointEnd = 0x110000;

[[nodiscard]] constexpr bool is_continuation_byte(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

/// The character at text[position]; position < text.size().
[[nodiscard]] constexpr Utf8Char decode_utf8(std::string_view text, std::size_t position) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[position + i])); };
  const std::uint32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::uint32_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() - position < length) return {};
  std::uint32_t code_point = first & (0x7FU >> length);
  for (std::uint32_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return {};
    code_point = (code_point << 6) | (byte(i) & 0x3FU);
  }
  const bool overlong = (length == 3 && code_point < 0x800) || (length == 4 && code_point < 0x10000);
  const bool surrogate = code_point >= 0xD800 && code_point < 0xE000;
  if (overlong || surrogate || code_point >= kCodePointEnd) return {};
  return {code_point, length};
}

/// The character that ends a text, which is not empty; length 0 where its last byte ends no well-formed one.
[[nodiscard]] constexpr Utf8Char decode_last_utf8(std::string_view text) {
  for (std::size_t length = 1; length <= 4 && length <= text.size(); ++length) {
    const Utf8Char character = decode_utf8(text, text.size() - length);
    if (character.length == length) return character;
  }
  return {};
}

/// Appends the UTF-8 form of a scalar value (below U+110000, no surrogate).
inline void append_utf8(std::string& out, std::uint32_t code_point) {
  const auto push = [&](std::uint32_t value) { out.push_back(static_cast<char>(value)); };
  if (code_point < 0x80) {
    push(code_point);
  } else if (code_point < 0x800) {
    push(0xC0U | (code_point >> 6));
    push(0x80U | (code_point & 0x3FU));
  } else if (code_point < 0x10000) {
    push(0xE0U | (code_point >> 12));
    push(0x80U | ((code_point >> 6) & 0x3FU));
    push(0x80U | (code_point & 0x3FU));
  } else {
    push(0xF0U | (code_point >> 18));
    push(0x80U | ((code_point >> 12) & 0x3FU));
    push(0x80U | ((code_point >> 6) & 0x3FU));
    push(0x80U | (code_point & 0x3FU));
  }
}

}  // namespace virgil
