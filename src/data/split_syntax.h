// Parses the regular expressions of a tokenizer.json's Split, in the syntax that Hugging Face's `tokenizers` gives them:
// Oniguruma's Ruby syntax. Where it differs from Perl's, PCRE2's or tiktoken's, Oniguruma's meaning counts:
//   {1,3}+  is (?:{1,3})+, not possessive;  $ also stands before every \n, ^ also behind every \n but at the end;  \h is a
//   hexadecimal digit;  {,3} is {0,3}.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "data/code_point_set.h"

namespace virgil {

/// A node of a parsed pattern.
struct SplitNode {
  enum class Kind : std::uint8_t {
    kSet,         // one character of sets[set]
    kSequence,    // children one after the other
    kChoice,      // the first child that leads to a match
    kRepeat,      // children[0], min to max times
    kAtomic,      // children[0] without backtracking into it
    kLookahead,   // children[0] must follow (or must not, when negated); takes nothing
    kLookbehind,  // children[0] must come before, likewise
    kLineEnd,     // before sets[set], which is \n, or at the end; takes nothing
    kLineBegin,   // at the beginning, or behind sets[set], which is \n, but not at the end; takes nothing
    kTextBegin,   // takes nothing
    kTextEnd,     // takes nothing
    kWordBorder,  // between a character of sets[set] and another or none (or not, when negated); takes nothing
  };
  enum class Greed : std::uint8_t { kGreedy, kLazy, kPossessive };
  static constexpr int kUnlimited = std::numeric_limits<int>::max();

  Kind kind = Kind::kSequence;
  std::vector<SplitNode> children;
  std::size_t set = 0;
  int min = 1;
  int max = 1;
  Greed greed = Greed::kGreedy;
  bool negated = false;
};

struct ParsedSplit {
  SplitNode root;
  std::vector<CodePointSet> sets;
};

/// Throws UserError naming what is not known (a back reference, \G, a POSIX class, a script), or malformed.
[[nodiscard]] ParsedSplit parse_split_regex(std::string_view pattern);
/// Matches this very text.
[[nodiscard]] ParsedSplit parse_split_literal(std::string_view text);

}  // namespace virgil
