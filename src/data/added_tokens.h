// Tokens that are looked for in a text before it is cut into words.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "data/byte_pair_vocabulary.h"

namespace virgil {

class AddedTokenFinder {
 public:
  /// Takes those that are looked for after (or before) the text is normalized. The tokens must outlive the finder.
  AddedTokenFinder(const std::vector<AddedToken>& tokens, bool after_normalizing);

  /// Calls on_token(id) for every token found, the leftmost first and of several the longest, and on_text(text) for what is
  /// between them (never an empty one). As `tokenizers` does it (AddedVocabulary::find_matches): a match that is no single word
  /// is passed over as a whole, and white space that a token takes along may still begin the next one.
  template <typename OnToken, typename OnText>
  void visit(std::string_view text, OnToken&& on_token, OnText&& on_text) const {
    std::size_t done = 0;
    for (std::size_t position = 0; !tokens_.empty() && position < text.size();) {
      const AddedToken* found = match_at(text, position);
      if (found == nullptr) {
        ++position;
        continue;
      }
      const Extent extent = extent_of(*found, text, position, done);
      position += found->content.size();
      if (found->is_text || extent.begin == extent.end) continue;
      if (extent.begin > done) on_text(text.substr(done, extent.begin - done));
      on_token(found->id);
      done = extent.end;
    }
    if (done < text.size()) on_text(text.substr(done));
  }

 private:
  /// Of a match with the white space it takes along; empty where it is none after all.
  struct Extent {
    std::size_t begin;
    std::size_t end;
  };
  [[nodiscard]] const AddedToken* match_at(std::string_view text, std::size_t position) const;
  /// Of the match at `position`; what lies before `done` belongs to the match before.
  [[nodiscard]] static Extent extent_of(const AddedToken& token, std::string_view text, std::size_t position, std::size_t done);

  std::vector<const AddedToken*> tokens_;  // by their first byte, then the longest first
  std::array<std::size_t, 257> begin_{};   // tokens_[begin_[b] .. begin_[b + 1]) begin with the byte b
};

}  // namespace virgil
