// A compiled Split pattern of a tokenizer.json.
//
// The pattern tells characters apart only by the sets it names, so every character is first replaced by the number of its class
// (one byte), and PCRE2 matches those bytes. So the tables of Unicode are the program's own, the same on every machine, a byte
// that is not UTF-8 has a class too (that of U+FFFD), and matching needs no UTF-8.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/split_syntax.h"

namespace virgil {

class SplitPattern {
 public:
  /// `source` is for messages. Throws UserError on a pattern that matches nothing at all (an empty string), or too large a one.
  SplitPattern(const ParsedSplit& parsed, std::string source);
  ~SplitPattern();
  SplitPattern(const SplitPattern&) = delete;
  SplitPattern& operator=(const SplitPattern&) = delete;

  struct Span {
    std::size_t begin;  // bytes of the text
    std::size_t end;
    bool is_match;
  };
  /// The matches and what lies between them, in order; together the text. Throws UserError where PCRE2 gives up.
  void find_spans(std::string_view text, std::vector<Span>& spans) const;

  /// Whether a match can hold the characters side by side, or depends on both: the text must not be cut there.
  [[nodiscard]] bool may_join(std::uint32_t left, std::uint32_t right) const {
    return pairs_[class_of(left)].test(class_of(right));
  }
  /// Whether both can lie in one stretch that nothing matches.
  [[nodiscard]] bool may_both_be_unmatched(std::uint32_t left, std::uint32_t right) const {
    return !always_matched_.test(class_of(left)) && !always_matched_.test(class_of(right));
  }

 private:
  using ClassSet = std::bitset<256>;

  [[nodiscard]] std::uint8_t class_of(std::uint32_t code_point) const {
    return classes_[static_cast<std::size_t>(pages_[code_point >> 8]) * 256 + (code_point & 255)];
  }
  void make_classes(const std::vector<CodePointSet>& sets);
  [[nodiscard]] std::string translate(const SplitNode& node) const;
  /// Without a group around them: behind a position PCRE2 takes alternatives of different lengths only so.
  [[nodiscard]] std::string alternatives(const SplitNode& node) const;
  void compile(const std::string& translated);
  /// Notes the pairs that may stand side by side; from what may come before the node to what may be its last character.
  ClassSet trace(const SplitNode& node, const ClassSet& before);
  void note_context(const SplitNode& looked_at);
  void keep_together(const ClassSet& left, const ClassSet& right);
  void note_matched(const SplitNode& alternative);
  void append_classes(std::string_view text, std::string& out) const;

  std::string source_;
  std::vector<ClassSet> members_;  // of each set, as classes
  std::vector<std::uint16_t> pages_;
  std::vector<std::uint8_t> classes_;
  std::array<ClassSet, 256> pairs_;
  ClassSet all_;
  ClassSet always_matched_;
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace virgil
