#include "data/split_pattern.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/utf8.h"

namespace virgil {
namespace {

using Kind = SplitNode::Kind;

constexpr std::size_t kStart = 0;  // in a set of classes: the beginning of a match; classes count from 1
constexpr std::size_t kMaxClasses = 250;
constexpr std::size_t kFirstStackBytes = std::size_t{32} << 10;
constexpr std::size_t kMaxStackBytes = std::size_t{8} << 20;
constexpr std::uint32_t kReplacementCharacter = 0xFFFD;

template <auto Function>
struct Free {
  template <typename Pointer>
  void operator()(Pointer* pointer) const {
    Function(pointer);
  }
};
using MatchData = std::unique_ptr<pcre2_match_data, Free<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Free<pcre2_match_context_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Free<pcre2_jit_stack_free>>;

std::string bracket(const std::bitset<256>& classes) {
  std::string text = "[";
  for (std::size_t c = 0; c < classes.size(); ++c) {
    if (classes.test(c)) text += fmt::format("\\x{:02X}", c);
  }
  return text.size() == 1 ? "(?!)" : text + "]";
}

std::string repetition(const SplitNode& node) {
  std::string text =
      node.max == SplitNode::kUnlimited ? fmt::format("{{{},}}", node.min) : fmt::format("{{{},{}}}", node.min, node.max);
  if (node.greed == SplitNode::Greed::kLazy) text += '?';
  if (node.greed == SplitNode::Greed::kPossessive) text += '+';
  return text;
}

}  // namespace

struct SplitPattern::Compiled {
  Compiled() = default;
  ~Compiled() { pcre2_code_free(code); }
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  pcre2_code* code = nullptr;
};

SplitPattern::SplitPattern(const ParsedSplit& parsed, std::string source)
    : source_(std::move(source)), compiled_(std::make_unique<Compiled>()) {
  make_classes(parsed.sets);
  ClassSet start;
  start.set(kStart);
  if (trace(parsed.root, start).test(kStart)) {
    throw user_error("the pattern {} also matches nothing, which splits between all characters", excerpt(source_));
  }
  const bool is_choice = parsed.root.kind == Kind::kChoice;
  for (const SplitNode& alternative : is_choice ? parsed.root.children : std::vector{parsed.root}) note_matched(alternative);
  compile(translate(parsed.root));
}

SplitPattern::~SplitPattern() = default;

// Two characters are of one class when every set holds both or neither.
void SplitPattern::make_classes(const std::vector<CodePointSet>& sets) {
  std::vector<std::uint32_t> bounds{0, kCodePointEnd};
  for (const CodePointSet& set : sets) {
    for (const CodePointRange& range : set.ranges()) {
      bounds.push_back(range.first);
      bounds.push_back(range.last + 1);
    }
  }
  std::ranges::sort(bounds);
  bounds.erase(std::unique(bounds.begin(), bounds.end()), bounds.end());
  members_.resize(sets.size());
  std::map<std::vector<bool>, std::uint8_t> known;
  std::vector<std::uint8_t> flat(kCodePointEnd);
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
    std::vector<bool> signature;
    for (const CodePointSet& set : sets) signature.push_back(set.contains(bounds[i]));
    const auto [entry, is_new] = known.try_emplace(signature, static_cast<std::uint8_t>(known.size() + 1));
    if (known.size() > kMaxClasses) throw user_error("the pattern {} tells too many characters apart", excerpt(source_));
    std::fill(flat.begin() + bounds[i], flat.begin() + bounds[i + 1], entry->second);
    if (!is_new) continue;
    all_.set(entry->second);
    for (std::size_t set = 0; set < sets.size(); ++set) {
      if (signature[set]) members_[set].set(entry->second);
    }
  }
  std::map<std::string, std::uint16_t> pages;
  for (auto page = flat.begin(); page != flat.end(); page += 256) {
    const std::string content(page, page + 256);
    const auto [entry, is_new] = pages.try_emplace(content, static_cast<std::uint16_t>(pages.size()));
    if (is_new) classes_.insert(classes_.end(), page, page + 256);
    pages_.push_back(entry->second);
  }
}

std::string SplitPattern::translate(const SplitNode& node) const {
  std::string text;
  switch (node.kind) {
    case Kind::kSet:
      return bracket(members_[node.set]);
    case Kind::kLineEnd:
      return fmt::format("(?={}|\\z)", bracket(members_[node.set]));
    case Kind::kLineBegin:
      return fmt::format("(?:\\A|(?<={})(?!\\z))", bracket(members_[node.set]));
    case Kind::kTextBegin:
      return "\\A";
    case Kind::kTextEnd:
      return "\\z";
    case Kind::kWordBorder: {
      const std::string word = bracket(members_[node.set]);
      return node.negated ? fmt::format("(?:(?<={0})(?={0})|(?<!{0})(?!{0}))", word)
                          : fmt::format("(?:(?<={0})(?!{0})|(?<!{0})(?={0}))", word);
    }
    case Kind::kAtomic:
      return fmt::format("(?>{})", translate(node.children[0]));
    case Kind::kLookahead:
      return fmt::format("(?{}{})", node.negated ? '!' : '=', translate(node.children[0]));
    case Kind::kLookbehind:
      return fmt::format("(?<{}{})", node.negated ? '!' : '=', alternatives(node.children[0]));
    case Kind::kRepeat: {
      const std::string inner = translate(node.children[0]);
      const bool is_set = node.children[0].kind == Kind::kSet;
      return (is_set ? inner : fmt::format("(?:{})", inner)) + repetition(node);
    }
    case Kind::kChoice:
      return fmt::format("(?:{})", alternatives(node));
    case Kind::kSequence:
      break;
  }
  for (const SplitNode& child : node.children) text += translate(child);
  return text;
}

std::string SplitPattern::alternatives(const SplitNode& node) const {
  if (node.kind != Kind::kChoice) return translate(node);
  std::string text = translate(node.children.front());
  for (std::size_t i = 1; i < node.children.size(); ++i) text += fmt::format("|{}", translate(node.children[i]));
  return text;
}

void SplitPattern::compile(const std::string& translated) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  compiled_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(), PCRE2_DOLLAR_ENDONLY,
                                  &error, &offset, nullptr);
  if (compiled_->code == nullptr) throw user_error("PCRE2 does not take the pattern {} (error {})", excerpt(source_), error);
  (void)pcre2_jit_compile(compiled_->code, PCRE2_JIT_COMPLETE);  // without a compiler for this machine it interprets
}

SplitPattern::ClassSet SplitPattern::trace(const SplitNode& node, const ClassSet& before) {
  const auto note = [&](const ClassSet& after) {
    for (std::size_t left = 1; left < before.size(); ++left) {
      if (before.test(left)) pairs_[left] |= after;
    }
  };
  ClassSet last = before;
  switch (node.kind) {
    case Kind::kSet:
      note(members_[node.set]);
      return members_[node.set];
    case Kind::kLineEnd:
      note(all_);
      return before;
    case Kind::kLineBegin:
    case Kind::kTextBegin:
    case Kind::kTextEnd:
      keep_together(all_, all_);  // every cut makes a beginning and an end
      return before;
    case Kind::kWordBorder:
      // At a cut each side ends without a neighbour: as between two characters of which neither is of a word.
      keep_together(members_[node.set], all_);
      keep_together(all_, members_[node.set]);
      return before;
    case Kind::kLookahead:
      (void)trace(node.children[0], before);
      return before;
    case Kind::kLookbehind:
      note_context(node.children[0]);
      return before;
    case Kind::kAtomic:
      return trace(node.children[0], before);
    case Kind::kSequence:
      for (const SplitNode& child : node.children) last = trace(child, last);
      return last;
    case Kind::kChoice:
      last.reset();
      for (const SplitNode& child : node.children) last |= trace(child, before);
      return last;
    case Kind::kRepeat:
      break;
  }
  last = trace(node.children[0], before);
  for (ClassSet known; known != last && node.max > 1;) {
    known = last;
    last |= trace(node.children[0], last);
  }
  return node.min == 0 ? last | before : last;
}

// A look-behind sees what is before a match: behind a character that it asks for no text may be cut, and nowhere where it looks
// further back than one.
void SplitPattern::note_context(const SplitNode& looked_at) {
  keep_together(looked_at.kind == Kind::kSet ? members_[looked_at.set] : all_, all_);
}

void SplitPattern::keep_together(const ClassSet& left, const ClassSet& right) {
  for (std::size_t c = 1; c < left.size(); ++c) {
    if (left.test(c)) pairs_[c] |= right;
  }
}

// An alternative such as "[^\s\p{L}]?\p{L}+[\r\n]*" matches every \p{L}, wherever it stands: one part must be there, the others
// need not. Others are left out, which only makes cuts rarer.
void SplitPattern::note_matched(const SplitNode& alternative) {
  const auto is_repeated_set = [](const SplitNode& node) {
    return node.kind == Kind::kRepeat && node.children[0].kind == Kind::kSet;
  };
  const std::vector<SplitNode> parts = alternative.kind == Kind::kSequence ? alternative.children : std::vector{alternative};
  ClassSet possessive;  // what an earlier part may have taken and does not give back
  const SplitNode* needed = nullptr;
  for (const SplitNode& part : parts) {
    const bool is_optional = part.kind == Kind::kRepeat && part.min == 0;
    if (is_optional && needed == nullptr) {
      if (!is_repeated_set(part)) return;
      if (part.greed == SplitNode::Greed::kPossessive) possessive |= members_[part.children[0].set];
    } else if (!is_optional) {
      const bool is_simple = part.kind == Kind::kSet || (is_repeated_set(part) && part.min == 1);
      if (needed != nullptr || !is_simple) return;
      needed = &part;
    }
  }
  if (needed == nullptr) return;
  const std::size_t set = needed->kind == Kind::kSet ? needed->set : needed->children[0].set;
  always_matched_ |= members_[set] & ~possessive;
}

void SplitPattern::append_classes(std::string_view text, std::string& out) const {
  for (std::size_t position = 0; position < text.size();) {
    const Utf8Char character = decode_utf8(text, position);
    out.push_back(static_cast<char>(class_of(character.length > 0 ? character.code_point : kReplacementCharacter)));
    position += std::max(character.length, 1U);
  }
}

void SplitPattern::find_spans(std::string_view text, std::vector<Span>& spans) const {
  std::string classes;
  classes.reserve(text.size());
  append_classes(text, classes);
  const MatchData data(pcre2_match_data_create(1, nullptr));
  const MatchContext context(pcre2_match_context_create(nullptr));
  const JitStack stack(pcre2_jit_stack_create(kFirstStackBytes, kMaxStackBytes, nullptr));
  if (data == nullptr || context == nullptr) throw user_error("PCRE2 got no memory");
  pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  spans.clear();
  std::size_t done = 0;      // in classes
  std::size_t position = 0;  // in text
  const auto add = [&](std::size_t end, bool is_match) {
    if (end == done) return;
    const std::size_t begin = position;
    for (; done < end; ++done) position += std::max(decode_utf8(text, position).length, 1U);
    spans.push_back({begin, position, is_match});
  };
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(classes.data());
  while (done < classes.size()) {
    const int found = pcre2_match(compiled_->code, subject, classes.size(), done, 0, data.get(), context.get());
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) {
      throw user_error("the splitting pattern {} takes too many tries on this text (PCRE2 error {})", excerpt(source_), found);
    }
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
    add(bounds[0], false);
    add(bounds[1], true);
  }
  add(classes.size(), false);
}

}  // namespace virgil
