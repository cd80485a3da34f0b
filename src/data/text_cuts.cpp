#include "data/text_cuts.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "virgil/base/utf8.h"

namespace virgil {
namespace {

constexpr bool is_ascii_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// White space beyond ASCII (Unicode property White_Space).
constexpr bool is_wide_space(std::uint32_t c) {
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

// Whether the character that ends at `end` is white space.
bool ends_in_space(std::string_view text, std::size_t end) {
  const char last = text[end - 1];
  if (static_cast<unsigned char>(last) < 0x80) return is_ascii_space(last);
  const Utf8Char character = decode_last_utf8(text.substr(0, end));
  return character.length > 0 && is_wide_space(character.code_point);
}

}  // namespace

bool is_word_cut(std::string_view text, std::size_t position) {
  return is_ascii_space(text[position]) && !ends_in_space(text, position);
}

std::size_t find_word_cut(std::string_view text, std::size_t position) {
  for (position = std::max<std::size_t>(position, 1); position < text.size(); ++position) {
    if (is_word_cut(text, position)) return position;
  }
  return text.size();
}

std::size_t find_last_word_cut(std::string_view text, std::size_t first) {
  first = std::max<std::size_t>(first, 1);
  const auto find_last = [&](bool any) -> std::size_t {
    for (std::size_t position = text.size(); position-- > first;) {
      if ((any || text[position] == ' ') && is_word_cut(text, position)) return position;
    }
    return 0;
  };
  // Splitting rules of other models may join a line end to what is before it, but hardly any a space.
  const std::size_t before_space = find_last(false);
  return before_space > 0 ? before_space : find_last(true);
}

}  // namespace virgil
