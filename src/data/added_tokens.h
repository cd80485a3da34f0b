// Tokens that are looked for in a text before it is cut into words.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/byte_pair_vocabulary.h"

namespace virgil {

class AddedTokenFinder {
 public:
  /// Takes those that are looked for after (or before) the text is normalized.
  AddedTokenFinder(const std::vector<AddedToken>& tokens, bool after_normalizing);

  /// Calls on_token(id) for every token found, the leftmost first and of several the longest, and on_text(text) for what is
  /// between them (never an empty one).
  template <typename OnToken, typename OnText>
  void visit(std::string_view text, OnToken&& on_token, OnText&& on_text) const {
    std::size_t done = 0;
    for (std::size_t position = 0; !tokens_.empty() && position < text.size();) {
      const Entry* found = match_at(text, position);
      if (found == nullptr) {
        ++position;
        continue;
      }
      if (position > done) on_text(text.substr(done, position - done));
      on_token(found->second);
      position += found->first.size();
      done = position;
    }
    if (done < text.size()) on_text(text.substr(done));
  }

 private:
  using Entry = std::pair<std::string, std::int32_t>;
  [[nodiscard]] const Entry* match_at(std::string_view text, std::size_t position) const {
    const auto first = static_cast<unsigned char>(text[position]);
    for (std::size_t i = begin_[first]; i < begin_[first + 1U]; ++i) {
      if (text.substr(position).starts_with(tokens_[i].first)) return &tokens_[i];
    }
    return nullptr;
  }

  std::vector<Entry> tokens_;             // by their first byte, then the longest first
  std::array<std::size_t, 257> begin_{};  // tokens_[begin_[b] .. begin_[b + 1]) begin with the byte b
};

}  // namespace virgil
