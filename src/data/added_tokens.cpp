#include "data/added_tokens.h"

#include <algorithm>

namespace virgil {

AddedTokenFinder::AddedTokenFinder(const std::vector<AddedToken>& tokens, bool after_normalizing) {
  for (const AddedToken& token : tokens) {
    if (token.after_normalizing == after_normalizing) tokens_.emplace_back(token.content, token.id);
  }
  const auto first_of = [](const Entry& entry) { return static_cast<unsigned char>(entry.first[0]); };
  std::ranges::stable_sort(tokens_, [&](const Entry& a, const Entry& b) {
    return first_of(a) != first_of(b) ? first_of(a) < first_of(b) : a.first.size() > b.first.size();
  });
  std::size_t next = 0;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    begin_[byte] = next;
    while (next < tokens_.size() && first_of(tokens_[next]) == byte) ++next;
  }
  begin_[256] = next;
}

}  // namespace virgil
