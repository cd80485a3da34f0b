// From tokens, one by one, to text that can be shown at once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/data/tokenizer.h"

namespace virgil {

/// Turns tokens into valid UTF-8: a character whose bytes are not all there is held back, a byte that belongs to no character
/// becomes U+FFFD. Ends at the first stop string, which is not part of the text; what may be the beginning of one is held back.
/// The pieces together do not depend on how the text falls into tokens.
class TextStream {
 public:
  /// The tokenizer must outlive this. Throws UserError when a stop string is empty.
  TextStream(const Tokenizer& tokenizer, std::vector<std::string> stops);

  /// The text that is certain after one more token. Empty once stopped() is true.
  [[nodiscard]] std::string push(std::int32_t token);
  /// A stop string was met.
  [[nodiscard]] bool stopped() const { return stopped_; }
  /// What was held back, when no token follows.
  [[nodiscard]] std::string finish();

 private:
  [[nodiscard]] std::string release(bool at_end);

  const Tokenizer& tokenizer_;
  std::vector<std::string> stops_;
  std::vector<std::int32_t> pending_;  // tokens that may have to be decoded together with the next
  std::size_t num_decoded_ = 0;        // bytes of pending_ that went to raw_
  std::string raw_;                    // bytes that are not yet whole characters
  std::string held_;                   // characters that may begin a stop string
  bool stopped_ = false;
};

/// `text` with every byte that belongs to no UTF-8 character replaced by U+FFFD.
[[nodiscard]] std::string to_valid_utf8(std::string_view text);

}  // namespace virgil
