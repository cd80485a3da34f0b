// GPT-2's rule for cutting a text into words, inside which byte pairs are merged (Radford et al., "Language Models are
// Unsupervised Multitask Learners", 2019; the regular expression is in OpenAI's encoder.py):
//
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// Alternatives are tried in this order at each place. A byte that is not UTF-8 counts as a character of the class "other".
#pragma once

#include <cstddef>
#include <string_view>

#include "data/character_classes.h"
#include "virgil/base/utf8.h"

namespace virgil {

class WordScanner {
 public:
  /// Both must outlive the scanner.
  WordScanner(std::string_view text, const CharacterClasses& classes) : text_(text), classes_(classes) {}

  /// The next word, or an empty view at the end.
  [[nodiscard]] std::string_view next() {
    const std::size_t start = position_;
    if (start == text_.size()) return {};
    position_ = word_end(start);
    return text_.substr(start, position_ - start);
  }

 private:
  struct Character {
    CharacterClass kind;
    std::size_t length;
  };

  [[nodiscard]] Character at(std::size_t position) const {
    const auto byte = static_cast<unsigned char>(text_[position]);
    if (byte < 0x80) return {classes_.of_ascii(byte), 1};
    const Utf8Char character = decode_utf8(text_, position);
    if (character.length == 0) return {CharacterClass::kOther, 1};
    return {classes_.of(character.code_point), character.length};
  }

  [[nodiscard]] std::size_t run_end(std::size_t position, CharacterClass kind) const {
    while (position < text_.size()) {
      const Character character = at(position);
      if (character.kind != kind) break;
      position += character.length;
    }
    return position;
  }

  [[nodiscard]] std::size_t word_end(std::size_t start) const {
    const Character first = at(start);
    if (first.kind == CharacterClass::kLetter || first.kind == CharacterClass::kNumber) {
      return run_end(start + first.length, first.kind);
    }
    if (first.kind == CharacterClass::kOther) {
      const std::size_t contraction = text_[start] == '\'' ? contraction_length(start) : 0;
      return contraction > 0 ? start + contraction : run_end(start + first.length, first.kind);
    }
    if (text_[start] == ' ' && start + 1 < text_.size()) {
      const Character second = at(start + 1);
      if (second.kind != CharacterClass::kSpace) return run_end(start + 1 + second.length, second.kind);
    }
    return space_end(start, first.length);
  }

  // \s+(?!\S)|\s+: all of the white space at the end of the text; elsewhere all but its last character, unless it is alone.
  [[nodiscard]] std::size_t space_end(std::size_t start, std::size_t first_length) const {
    std::size_t last = start;
    std::size_t end = start + first_length;
    while (end < text_.size()) {
      const Character character = at(end);
      if (character.kind != CharacterClass::kSpace) return last == start ? end : last;
      last = end;
      end += character.length;
    }
    return end;
  }

  [[nodiscard]] std::size_t contraction_length(std::size_t start) const {
    const std::string_view rest = text_.substr(start + 1, 2);
    if (rest.empty()) return 0;
    if (rest[0] == 's' || rest[0] == 't' || rest[0] == 'm' || rest[0] == 'd') return 2;
    return rest == "re" || rest == "ve" || rest == "ll" ? 3 : 0;
  }

  std::string_view text_;
  const CharacterClasses& classes_;
  std::size_t position_ = 0;
};

}  // namespace virgil
