// The spelling, in texts, of the token that ends a document.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "virgil/data/tokenizer.h"

namespace virgil {

/// GPT-2's, and what tokenizers made here call it.
inline constexpr std::string_view kEndOfText = "<|endoftext|>";

/// What tokenizers call the token that ends a document.
inline constexpr std::array<std::string_view, 7> kEndOfTextSpellings = {kEndOfText, "</s>",  "<|end_of_text|>", "<eos>",
                                                                        "<|eos|>",  "[EOS]", "<|im_end|>"};

/// The bytes of the tokenizer's end of text: where they stand in a text, a document ends. Empty where it has none.
[[nodiscard]] std::string end_of_text_mark(const Tokenizer& tokenizer);

/// How often each spelling stands in a text.
using MarkCounts = std::map<std::string, std::int64_t, std::less<>>;

/// Adds the known spellings in `text`.
void count_known_marks(std::string_view text, MarkCounts& counts);

}  // namespace virgil
