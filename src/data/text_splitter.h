// How a byte-level BPE tokenizer cuts a text into the words inside which pairs are merged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/character_classes.h"
#include "data/split_pattern.h"

namespace virgil {

/// One pre-tokenizer of a tokenizer.json before ByteLevel: Split, or Digits spelt as a Split.
struct SplitRule {
  /// What becomes of a match (`tokenizers`: SplitDelimiterBehavior).
  enum class Behavior : std::uint8_t { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };
  std::string pattern;
  bool is_literal = false;
  Behavior behavior = Behavior::kIsolated;
  bool inverted = false;  // matches and what lies between them change roles
};

/// The settings; the default is GPT-2's.
struct SplittingRules {
  std::vector<SplitRule> splits;  // one after the other, each within the pieces of the one before
  bool gpt2_words = true;         // then GPT-2's rule (word_scanner.h)
  bool add_prefix_space = false;  // to a text, or with splits to each piece, that does not begin with a space
  [[nodiscard]] bool is_gpt2() const { return splits.empty() && gpt2_words && !add_prefix_space; }
};

/// Throws UserError naming what of the rule's pattern is not known.
[[nodiscard]] std::unique_ptr<SplitPattern> compile_split(const SplitRule& rule);

class TextSplitter {
 public:
  /// Throws UserError naming a pattern that is not known.
  TextSplitter(const SplittingRules& rules, const CharacterClasses& classes);

  using Visit = std::function<void(std::string_view word)>;
  /// Calls `visit` for the words of a piece of a text, in order; a word lives only during the call.
  void split(std::string_view piece, bool is_first, const Visit& visit) const;

  /// The first position at or after `position` at which a text may be cut without changing its words, or its size.
  [[nodiscard]] std::size_t find_cut(std::string_view text, std::size_t position) const;

 private:
  struct Step {
    std::unique_ptr<SplitPattern> pattern;
    SplitRule::Behavior behavior;
    bool inverted;
  };
  void split_from(std::size_t step, std::string_view piece, bool is_first, const Visit& visit) const;
  [[nodiscard]] bool is_cut(std::string_view text, std::size_t position) const;

  const CharacterClasses& classes_;
  std::vector<Step> steps_;
  bool gpt2_words_;
  bool add_prefix_space_;
};

}  // namespace virgil
