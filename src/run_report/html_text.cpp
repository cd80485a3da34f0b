#include "run_report/html_text.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/utf8.h"

namespace virgil {

namespace {

constexpr std::uint32_t kReplacement = 0xFFFD;

bool is_in(std::uint32_t c, std::uint32_t first, std::uint32_t last) { return c >= first && c <= last; }

/// What stands in a picture of the text for a character of it.
std::uint32_t shown_as(std::uint32_t c) {
  if (c == '\n' || c == '\t') return c;
  if (c < 0x20) return 0x2400 + c;
  if (c == 0x7F) return 0x2421;
  const bool is_control = is_in(c, 0x80, 0x9F) || c == 0x2028 || c == 0x2029;
  const bool turns = c == 0x061C || is_in(c, 0x200E, 0x200F) || is_in(c, 0x202A, 0x202E) || is_in(c, 0x2066, 0x2069);
  const bool is_none = (c & 0xFFFEU) == 0xFFFE || is_in(c, 0xFDD0, 0xFDEF);
  return is_control || turns || is_none ? kReplacement : c;
}

/// Calls `use` with each character, kReplacement for a byte of none.
template <typename Use>
void for_each_character(std::string_view text, const Use& use) {
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char character = decode_utf8(text, at);
    use(character.length == 0 ? kReplacement : character.code_point);
    at += std::max<std::size_t>(1, static_cast<std::size_t>(character.length));
  }
}

}  // namespace

std::string markup_text(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for_each_character(text, [&](std::uint32_t c) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        append_utf8(out, shown_as(c));
    }
  });
  return out;
}

std::string short_name(std::string_view text, std::size_t characters) {
  std::vector<std::uint32_t> all;
  for_each_character(text, [&](std::uint32_t c) { all.push_back(shown_as(c == '\n' || c == '\t' ? ' ' : c)); });
  std::string out;
  const std::size_t head = (characters - 1) / 2;
  const std::size_t tail = characters - 1 - head;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all.size() > characters && i == head) {
      out += "…";
      i = all.size() - tail;
    }
    append_utf8(out, all[i]);
  }
  return out;
}

}  // namespace virgil
