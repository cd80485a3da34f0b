// The tokens a run trains and evaluates on.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/data/text_reader.h"
#include "virgil/data/tokenizer.h"

namespace virgil {

/// Cuts the last `fraction` of a text off at a UTF-8 character boundary. The cut is in bytes of the text, so it does not depend
/// on the tokenizer.
struct TextSplit {
  std::string_view train;
  std::string_view val;
};
/// `val_fraction` is in [0, 1); throws UserError otherwise.
[[nodiscard]] TextSplit split_text(std::string_view text, double val_fraction);

/// Token ids with what is needed to speak of them.
struct TokenData {
  std::vector<std::int32_t> tokens;
  std::int64_t text_bytes = 0;  // bytes of the text the tokens stand for
  /// SHA-256 (hex) of the ids.
  std::string fingerprint;
};
[[nodiscard]] TokenData tokenize(const Tokenizer& tokenizer, std::string_view text);

}  // namespace virgil
