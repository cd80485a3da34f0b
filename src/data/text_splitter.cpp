#include "data/text_splitter.h"

#include <algorithm>
#include <utility>

#include "data/text_cuts.h"
#include "data/word_scanner.h"
#include "virgil/base/utf8.h"

namespace virgil {
namespace {

using Behavior = SplitRule::Behavior;
using Span = SplitPattern::Span;

/// Joins spans as `tokenizers` does (NormalizedString::split) and leaves out what is removed.
void apply(Behavior behavior, std::vector<Span>& spans) {
  if (behavior == Behavior::kIsolated) return;
  if (behavior == Behavior::kRemoved) {
    std::erase_if(spans, [](const Span& span) { return span.is_match; });
    return;
  }
  const bool backwards = behavior == Behavior::kMergedWithNext;
  if (backwards) std::ranges::reverse(spans);
  std::vector<Span> joined;
  bool last_was_match = false;
  for (const Span& span : spans) {
    const bool joins = behavior == Behavior::kContiguous ? span.is_match == last_was_match : span.is_match && !last_was_match;
    last_was_match = span.is_match;
    if (joins && !joined.empty()) {
      joined.back().begin = std::min(joined.back().begin, span.begin);
      joined.back().end = std::max(joined.back().end, span.end);
    } else {
      joined.push_back(span);
    }
  }
  if (backwards) std::ranges::reverse(joined);
  spans = std::move(joined);
}

/// The character before and the one after a position; bytes that are not UTF-8 are U+FFFD.
struct Neighbours {
  std::uint32_t left;
  std::uint32_t right;
};

std::uint32_t character_at(std::string_view text, std::size_t position) {
  const Utf8Char character = decode_utf8(text, position);
  return character.length > 0 ? character.code_point : 0xFFFDU;
}

Neighbours neighbours_of(std::string_view text, std::size_t position) {
  const Utf8Char left = decode_last_utf8(text.substr(0, position));
  return {left.length > 0 ? left.code_point : 0xFFFDU, character_at(text, position)};
}

}  // namespace

std::unique_ptr<SplitPattern> compile_split(const SplitRule& rule) {
  const ParsedSplit parsed = rule.is_literal ? parse_split_literal(rule.pattern) : parse_split_regex(rule.pattern);
  return std::make_unique<SplitPattern>(parsed, rule.pattern);
}

TextSplitter::TextSplitter(const SplittingRules& rules, const CharacterClasses& classes)
    : classes_(classes), gpt2_words_(rules.gpt2_words), add_prefix_space_(rules.add_prefix_space) {
  for (const SplitRule& rule : rules.splits) {
    steps_.push_back({compile_split(rule), rule.behavior, rule.inverted});
  }
}

void TextSplitter::split(std::string_view piece, bool is_first, const Visit& visit) const {
  split_from(0, piece, is_first || !steps_.empty(), visit);
}

void TextSplitter::split_from(std::size_t step, std::string_view piece, bool is_first, const Visit& visit) const {
  if (step < steps_.size()) {
    std::vector<Span> spans;
    steps_[step].pattern->find_spans(piece, spans);
    if (steps_[step].inverted) {
      for (Span& span : spans) span.is_match = !span.is_match;
    }
    apply(steps_[step].behavior, spans);
    for (const Span& span : spans) {
      split_from(step + 1, piece.substr(span.begin, span.end - span.begin), is_first, visit);
    }
    return;
  }
  std::string with_space;
  if (add_prefix_space_ && is_first && !piece.empty() && piece.front() != ' ') {
    with_space = " ";
    with_space += piece;
    piece = with_space;
  }
  if (!gpt2_words_) {
    if (!piece.empty()) visit(piece);
    return;
  }
  WordScanner scanner(piece, classes_);
  for (std::string_view word = scanner.next(); !word.empty(); word = scanner.next()) visit(word);
}

bool TextSplitter::is_cut(std::string_view text, std::size_t position) const {
  if (is_continuation_byte(text[position])) return false;
  const Neighbours at = neighbours_of(text, position);
  for (const Step& step : steps_) {
    const bool keeps_apart = step.behavior == Behavior::kIsolated || step.behavior == Behavior::kRemoved;
    if (!keeps_apart || step.pattern->may_join(at.left, at.right)) return false;
    if (!step.pattern->may_both_be_unmatched(at.left, at.right)) return true;
    // Only an unmatched stretch can go over the position, and what follows works within it as within its two halves.
  }
  return gpt2_words_ && is_word_cut(text, position);
}

std::size_t TextSplitter::find_cut(std::string_view text, std::size_t position) const {
  if (steps_.empty() && gpt2_words_) return find_word_cut(text, position);
  for (position = std::max<std::size_t>(position, 1); position < text.size(); ++position) {
    if (is_cut(text, position)) return position;
  }
  return text.size();
}

}  // namespace virgil
