// Validation of token ids that come from outside.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace virgil {

/// Throws UserError naming the first id outside 0 .. vocab_size - 1 and its position.
void check_tokens(std::span<const std::int32_t> tokens, std::int64_t vocab_size, std::string_view tokenizer_name);

}  // namespace virgil
