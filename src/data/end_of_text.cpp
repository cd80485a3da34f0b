#include "virgil/data/end_of_text.h"

#include <cstddef>

namespace virgil {

std::string end_of_text_mark(const Tokenizer& tokenizer) {
  const std::int32_t id = tokenizer.end_of_text();
  return id < 0 ? std::string() : tokenizer.decode({&id, 1});
}

void count_known_marks(std::string_view text, MarkCounts& counts) {
  for (const char first : {'<', '['}) {
    for (std::size_t at = text.find(first); at != text.npos; at = text.find(first, at + 1)) {
      const std::string_view rest = text.substr(at);
      for (const std::string_view spelling : kEndOfTextSpellings) {
        if (spelling[0] == first && rest.starts_with(spelling)) ++counts[std::string(spelling)];
      }
    }
  }
}

}  // namespace virgil
