#include "data/added_tokens.h"

#include <algorithm>

#include "data/code_point_set.h"
#include "virgil/base/utf8.h"

namespace virgil {
namespace {

// \w and \s as Rust's regular expressions have them, which `tokenizers` asks here.
bool is_word_character(std::uint32_t code_point) {
  static const CodePointSet set = word_characters() | CodePointSet({{0x200C, 0x200D}});
  return set.contains(code_point);
}
bool is_white_space(std::uint32_t code_point) {
  static const CodePointSet set = white_space();
  return set.contains(code_point);
}

bool is_beside_word(std::string_view before, std::string_view after) {
  return (!before.empty() && is_word_character(decode_last_utf8(before).code_point)) ||
         (!after.empty() && is_word_character(decode_utf8(after, 0).code_point));
}

/// Where the white space at the end of the text begins.
std::size_t trailing_space(std::string_view text) {
  while (!text.empty()) {
    const Utf8Char last = decode_last_utf8(text);
    if (last.length == 0 || !is_white_space(last.code_point)) break;
    text.remove_suffix(last.length);
  }
  return text.size();
}

/// How many bytes of white space the text begins with.
std::size_t leading_space(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size()) {
    const Utf8Char next = decode_utf8(text, end);
    if (next.length == 0 || !is_white_space(next.code_point)) break;
    end += next.length;
  }
  return end;
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(const std::vector<AddedToken>& tokens, bool after_normalizing) {
  for (const AddedToken& token : tokens) {
    if (token.after_normalizing == after_normalizing) tokens_.push_back(&token);
  }
  const auto first_of = [](const AddedToken* token) { return static_cast<unsigned char>(token->content[0]); };
  std::ranges::stable_sort(tokens_, [&](const AddedToken* a, const AddedToken* b) {
    return first_of(a) != first_of(b) ? first_of(a) < first_of(b) : a->content.size() > b->content.size();
  });
  std::size_t next = 0;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    begin_[byte] = next;
    while (next < tokens_.size() && first_of(tokens_[next]) == byte) ++next;
  }
  begin_[256] = next;
}

const AddedToken* AddedTokenFinder::match_at(std::string_view text, std::size_t position) const {
  const auto first = static_cast<unsigned char>(text[position]);
  for (std::size_t i = begin_[first]; i < begin_[first + 1U]; ++i) {
    if (text.substr(position).starts_with(tokens_[i]->content)) return tokens_[i];
  }
  return nullptr;
}

AddedTokenFinder::Extent AddedTokenFinder::extent_of(const AddedToken& token, std::string_view text, std::size_t position,
                                                     std::size_t done) {
  Extent extent{position, position + token.content.size()};
  const std::string_view before = text.substr(0, extent.begin);
  const std::string_view after = text.substr(extent.end);
  if (token.single_word && is_beside_word(before, after)) return {position, position};
  if (token.strips_left) extent.begin = std::max(done, trailing_space(before));
  if (token.strips_right) extent.end += leading_space(after);
  return extent;
}

}  // namespace virgil
