#include "data/token_checks.h"

#include <algorithm>

#include "virgil/base/error.h"

namespace virgil {

void check_tokens(std::span<const std::int32_t> tokens, std::int64_t vocab_size, std::string_view tokenizer_name) {
  const auto bad =
      std::find_if(tokens.begin(), tokens.end(), [&](std::int32_t token) { return token < 0 || token >= vocab_size; });
  if (bad == tokens.end()) return;
  throw user_error(
      "token {} at position {} is outside the {} tokenizer's vocabulary, 0 to {}; were these tokens made by another one?", *bad,
      bad - tokens.begin(), tokenizer_name, vocab_size - 1);
}

}  // namespace virgil
