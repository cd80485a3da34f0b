#include "data/split_syntax.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/utf8.h"

namespace virgil {
namespace {

using Kind = SplitNode::Kind;
using Greed = SplitNode::Greed;

constexpr int kMaxSplitDepth = 64;
constexpr int kMaxSplitRepeats = 1000;
constexpr std::size_t kMaxSplitBytes = 16384;

/// What \w and \b take for a word outside of brackets: Oniguruma has a table of its own for Latin-1 there, in which the
/// superscript digits and the fractions belong to words. [\w] is without them.
CodePointSet bare_word_characters() { return word_characters() | CodePointSet({{0xB2, 0xB3}, {0xB9, 0xB9}, {0xBC, 0xBE}}); }

constexpr bool is_ascii_letter(std::uint32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

class SplitParser {
 public:
  explicit SplitParser(std::string_view pattern) : pattern_(pattern) {
    if (pattern.size() > kMaxSplitBytes) throw user_error("a pattern of {} bytes is too long", pattern.size());
  }

  ParsedSplit parse() {
    parsed_.root = parse_choice(0, false);
    if (!at_end()) fail("an unmatched ')'");
    return std::move(parsed_);
  }

  ParsedSplit parse_literal() {
    while (!at_end()) parsed_.root.children.push_back(set_node(CodePointSet::of(take())));
    return std::move(parsed_);
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    throw user_error("{} at byte {} of the pattern {}", what, position_, excerpt(pattern_));
  }
  [[nodiscard]] bool at_end() const { return position_ == pattern_.size(); }
  [[nodiscard]] bool sees(std::string_view text) const { return pattern_.substr(position_).starts_with(text); }
  bool accept(std::string_view text) {
    if (!sees(text)) return false;
    position_ += text.size();
    return true;
  }
  std::uint32_t take() {
    if (at_end()) fail("an unexpected end");
    const Utf8Char character = decode_utf8(pattern_, position_);
    if (character.length == 0) fail("a byte that is not UTF-8");
    position_ += character.length;
    return character.code_point;
  }

  SplitNode set_node(CodePointSet set) {
    parsed_.sets.push_back(std::move(set));
    return {.kind = Kind::kSet, .children = {}, .set = parsed_.sets.size() - 1};
  }

  /// One that takes nothing and depends on the characters beside it.
  SplitNode position(Kind kind, CodePointSet set) {
    SplitNode node = set_node(std::move(set));
    node.kind = kind;
    return node;
  }

  static SplitNode look(Kind where, SplitNode at, bool negated) {
    return {.kind = where, .children = {std::move(at)}, .negated = negated};
  }
  SplitNode parse_choice(int depth, bool any_case) {
    if (depth > kMaxSplitDepth) fail("groups nested too deeply");
    SplitNode choice{.kind = Kind::kChoice, .children = {}};
    do {
      choice.children.push_back(parse_sequence(depth, any_case));
    } while (accept("|"));
    return choice.children.size() == 1 ? std::move(choice.children[0]) : choice;
  }

  SplitNode parse_sequence(int depth, bool any_case) {
    SplitNode sequence;
    std::uint32_t last_folded = 0;  // the last literal letter, in a group without case
    while (!at_end() && !sees("|") && !sees(")")) {
      if (accept("(?#")) {
        while (take() != ')') continue;
        continue;
      }
      if (accept("(?i)")) {  // holds to the end of the group, alternatives included
        sequence.children.push_back(parse_choice(depth + 1, true));
        break;
      }
      const std::size_t start = position_;
      SplitNode atom = parse_atom(depth, any_case);
      last_folded = any_case ? check_folding(last_folded, start) : 0;
      sequence.children.push_back(parse_repeats(std::move(atom)));
    }
    return sequence;
  }

  // Oniguruma lets some characters match two letters without case: "ss" matches U+00DF. Such pairs are not known here.
  std::uint32_t check_folding(std::uint32_t last, std::size_t start) const {
    if (position_ - start != 1 || !is_ascii_letter(static_cast<unsigned char>(pattern_[start]))) return 0;
    const auto letter = static_cast<std::uint32_t>(std::tolower(static_cast<unsigned char>(pattern_[start])));
    const bool ligature =
        (last == 's' && (letter == 's' || letter == 't')) || (last == 'f' && (letter == 'f' || letter == 'i' || letter == 'l'));
    if (ligature) fail("letters without case that Unicode folds from one character (ss, st, ff, fi, fl)");
    return letter;
  }

  SplitNode parse_atom(int depth, bool any_case) {
    if (accept("(")) return parse_group(depth, any_case);
    if (accept("[")) return set_node(fold(parse_class(depth + 1), any_case));
    if (accept(".")) return set_node(~CodePointSet::of('\n'));
    if (accept("$")) return position(Kind::kLineEnd, CodePointSet::of('\n'));
    if (accept("^")) return position(Kind::kLineBegin, CodePointSet::of('\n'));
    if (accept("\\A")) return {.kind = Kind::kTextBegin, .children = {}};
    if (accept("\\z")) return {.kind = Kind::kTextEnd, .children = {}};
    if (accept("\\b")) return position(Kind::kWordBorder, bare_word_characters());
    if (accept("\\B")) {
      SplitNode border = position(Kind::kWordBorder, bare_word_characters());
      border.negated = true;
      return border;
    }
    if (accept("\\w")) return set_node(fold(bare_word_characters(), any_case));
    if (accept("\\W")) return set_node(fold(~bare_word_characters(), any_case));
    if (sees("*") || sees("+") || sees("?")) fail("a repetition of nothing");
    if (accept("\\")) return set_node(fold(parse_escape(), any_case));
    return set_node(fold(CodePointSet::of(take()), any_case));
  }

  SplitNode parse_group(int depth, bool any_case) {
    SplitNode group;
    if (accept("?:")) {
      group = parse_choice(depth + 1, any_case);
    } else if (accept("?i:")) {
      group = parse_choice(depth + 1, true);
    } else if (accept("?-i:")) {
      group = parse_choice(depth + 1, false);
    } else if (accept("?>")) {
      group = {.kind = Kind::kAtomic, .children = {parse_choice(depth + 1, any_case)}};
    } else if (sees("?=") || sees("?!")) {
      const bool negated = pattern_[position_ + 1] == '!';
      position_ += 2;
      group = look(Kind::kLookahead, parse_choice(depth + 1, any_case), negated);
    } else if (sees("?<=") || sees("?<!")) {
      const bool negated = pattern_[position_ + 2] == '!';
      position_ += 3;
      group = look(Kind::kLookbehind, parse_choice(depth + 1, any_case), negated);
    } else if (sees("?<") && position_ + 2 < pattern_.size() &&
               is_ascii_letter(static_cast<unsigned char>(pattern_[position_ + 2]))) {
      while (take() != '>') continue;  // a name, which nothing can refer to
      group = parse_choice(depth + 1, any_case);
    } else if (sees("?")) {
      fail("a kind of group that is not known");
    } else {
      group = parse_choice(depth + 1, any_case);
    }
    if (!accept(")")) fail("a missing ')'");
    return group;
  }

  static bool is_position(Kind kind) {
    return kind == Kind::kLineBegin || kind == Kind::kLineEnd || kind == Kind::kTextBegin || kind == Kind::kTextEnd ||
           kind == Kind::kWordBorder;
  }

  SplitNode repeat(SplitNode node, int min, int max, Greed greed) const {
    return {.kind = Kind::kRepeat, .children = {std::move(node)}, .min = min, .max = max, .greed = greed};
  }

  SplitNode parse_repeats(SplitNode node) {
    for (int count = 0; !at_end(); ++count) {
      const char c = pattern_[position_];
      if (c == '*' || c == '+' || c == '?') {
        if (is_position(node.kind)) fail("a repetition of a position");
        ++position_;
        const Greed greed = accept("?") ? Greed::kLazy : accept("+") ? Greed::kPossessive : Greed::kGreedy;
        node = repeat(std::move(node), c == '+' ? 1 : 0, c == '?' ? 1 : SplitNode::kUnlimited, greed);
      } else if (const auto range = parse_interval()) {
        if (is_position(node.kind)) fail("a repetition of a position");
        if (sees("?") && range->first == range->second) fail("{n}?, which engines read in different ways,");
        node = repeat(std::move(node), range->first, range->second, accept("?") ? Greed::kLazy : Greed::kGreedy);
      } else {
        break;
      }
      if (count >= kMaxSplitDepth) fail("too many repetitions of repetitions");
    }
    return node;
  }

  std::optional<int> parse_number() {
    int number = 0;
    const char* begin = pattern_.data() + position_;
    const auto [end, error] = std::from_chars(begin, pattern_.data() + pattern_.size(), number);
    if (end == begin || *begin == '-') return std::nullopt;
    if (error != std::errc() || number > kMaxSplitRepeats) fail("a repetition that is too large");
    position_ += static_cast<std::size_t>(end - begin);
    return number;
  }

  // {n}, {n,}, {,m} or {n,m}; a brace that begins none of them is a character.
  std::optional<std::pair<int, int>> parse_interval() {
    const std::size_t start = position_;
    if (!accept("{")) return std::nullopt;
    const std::optional<int> min = parse_number();
    std::optional<int> max = min;
    if (accept(",")) {
      max = parse_number();
      if (!max && min) max = SplitNode::kUnlimited;
    }
    if (!accept("}") || !max) {
      position_ = start;
      return std::nullopt;
    }
    if (min.value_or(0) > *max) fail("a repetition from more to fewer");
    return std::pair(min.value_or(0), *max);
  }

  CodePointSet parse_property(bool negated) {
    if (!accept("{")) fail("a property without braces");
    if (accept("^")) negated = !negated;
    const std::size_t end = pattern_.find('}', position_);
    if (end == std::string_view::npos) fail("a property without its '}'");
    const std::string_view name = pattern_.substr(position_, end - position_);
    const std::optional<CodePointSet> set = unicode_property(name);
    if (!set) fail("a property that is not known (general categories such as L and Lu are, and Han)");
    position_ = end + 1;
    return negated ? ~*set : *set;
  }

  std::uint32_t parse_hex(std::size_t most, std::size_t least) {
    std::size_t end = position_;
    while (end < pattern_.size() && end - position_ < most && std::isxdigit(static_cast<unsigned char>(pattern_[end])) != 0)
      ++end;
    std::uint32_t value = 0;
    std::from_chars(pattern_.data() + position_, pattern_.data() + end, value, 16);
    if (end - position_ < least || value >= kCodePointEnd) fail("a malformed character number");
    position_ = end;
    return value;
  }

  // After a backslash.
  CodePointSet parse_escape() {
    const std::uint32_t c = take();
    switch (c) {
      case 's':
        return white_space();
      case 'S':
        return ~white_space();
      case 'd':
        return *unicode_property("Nd");
      case 'D':
        return ~*unicode_property("Nd");
      case 'w':
        return word_characters();
      case 'W':
        return ~word_characters();
      case 'h':
        return CodePointSet({{'0', '9'}, {'a', 'f'}, {'A', 'F'}});
      case 'p':
        return parse_property(false);
      case 'P':
        return parse_property(true);
      case 'n':
        return CodePointSet::of('\n');
      case 'r':
        return CodePointSet::of('\r');
      case 't':
        return CodePointSet::of('\t');
      case 'f':
        return CodePointSet::of('\f');
      case 'v':
        return CodePointSet::of('\v');
      case 'u':
        return CodePointSet::of(parse_hex(4, 4));
      case 'x': {
        if (!accept("{")) return CodePointSet::of(parse_hex(2, 1));
        const std::uint32_t value = parse_hex(8, 1);
        if (!accept("}")) fail("a malformed character number");
        return CodePointSet::of(value);
      }
      default:
        break;
    }
    if (c >= '1' && c <= '9') fail("a back reference, which is not known,");
    if (c >= 0x80 || std::isalnum(static_cast<int>(c)) != 0) fail("an escape that is not known");
    return CodePointSet::of(c);
  }

  // After "[".
  CodePointSet parse_class(int depth) {
    if (depth > kMaxSplitDepth) fail("classes nested too deeply");
    if (sees(":")) fail("a POSIX class, which is not known,");
    const bool negated = accept("^");
    CodePointSet set;
    std::optional<CodePointSet> left;  // of &&
    for (bool first = true; first || !sees("]"); first = false) {
      if (accept("&&")) {
        left = left ? *left & set : set;
        set = {};
        continue;
      }
      set = set | parse_class_item(depth);
    }
    ++position_;
    if (left) set = *left & set;
    return negated ? ~set : set;
  }

  CodePointSet parse_class_item(int depth) {
    if (accept("[")) return parse_class(depth + 1);
    const CodePointSet first = accept("\\") ? parse_escape() : CodePointSet::of(take());
    const bool is_range = is_one(first) && sees("-") && position_ + 1 < pattern_.size() && pattern_[position_ + 1] != ']';
    if (!is_range) return first;
    ++position_;
    const CodePointSet last = accept("\\") ? parse_escape() : CodePointSet::of(take());
    if (!is_one(last) || last.ranges()[0].first < first.ranges()[0].first) fail("a malformed range");
    return CodePointSet({{first.ranges()[0].first, last.ranges()[0].first}});
  }

  static bool is_one(const CodePointSet& set) {
    return set.ranges().size() == 1 && set.ranges()[0].first == set.ranges()[0].last;
  }

  /// The set without case.
  CodePointSet fold(CodePointSet set, bool any_case) const {
    if (!any_case) return set;
    const CodePointSet ascii({{0, 0x7F}});
    if (!(set & ~ascii).ranges().empty()) fail("a set beyond ASCII without case, which is not known,");
    for (std::uint32_t c = 0; c < 0x80; ++c) {
      if (!is_ascii_letter(c) || !set.contains(c)) continue;
      set = set | CodePointSet::of(c ^ 0x20U);
      if ((c | 0x20U) == 's') set = set | CodePointSet::of(0x17F);   // long s
      if ((c | 0x20U) == 'k') set = set | CodePointSet::of(0x212A);  // the Kelvin sign
    }
    return set;
  }

  std::string_view pattern_;
  std::size_t position_ = 0;
  ParsedSplit parsed_;
};

}  // namespace

ParsedSplit parse_split_regex(std::string_view pattern) { return SplitParser(pattern).parse(); }
ParsedSplit parse_split_literal(std::string_view text) { return SplitParser(text).parse_literal(); }

}  // namespace virgil
