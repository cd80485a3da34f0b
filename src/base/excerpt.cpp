#include "virgil/base/excerpt.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace virgil {
namespace {

bool continues_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

/// The longest beginning of at most `size` bytes that cuts no UTF-8 character.
std::string_view whole_beginning(std::string_view text, std::size_t size) {
  constexpr std::size_t kLongestCharacter = 4;
  for (std::size_t back = 0; back < kLongestCharacter && size > back; ++back) {
    if (!continues_character(text[size - back])) return text.substr(0, size - back);
  }
  return text.substr(0, size);  // no UTF-8 anyway
}

std::string_view whole_end(std::string_view text, std::size_t size) {
  std::string_view end = text.substr(text.size() - size);
  while (!end.empty() && continues_character(end.front())) end.remove_prefix(1);
  return end;
}

}  // namespace

std::string excerpt(std::string_view text, std::size_t longest) {
  if (text.size() <= longest) return std::string(text);
  return std::string(whole_beginning(text, longest)) + "...";
}

std::string quoted_excerpt(std::string_view text, std::size_t longest) {
  return nlohmann::json(excerpt(text, longest)).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string bounded_message(std::string_view message) {
  constexpr std::size_t kLongestLine = 1200;  // none of Virgil's own, with a path of usual length, comes near it
  constexpr std::size_t kBeginning = 400;
  constexpr std::size_t kEnd = 400;
  std::string bounded;
  while (true) {
    const std::string_view line = message.substr(0, message.find('\n'));
    if (line.size() <= kLongestLine) {
      bounded += line;
    } else {
      bounded += fmt::format("{} [... {} bytes ...] {}", whole_beginning(line, kBeginning), line.size(), whole_end(line, kEnd));
    }
    if (line.size() == message.size()) return bounded;
    bounded += '\n';
    message.remove_prefix(line.size() + 1);
  }
}

}  // namespace virgil
