// Where a text may be cut so that the tokens of its pieces are the tokens of the whole.
//
// Between a character that is not white space and an ASCII white space after it every tokenizer has a boundary: GPT-2's rule
// allows a space only at the start of a piece and never mixes white space into a run (see word_scanner.h), and nothing it looks
// ahead at lies beyond such a place.
#pragma once

#include <cstddef>
#include <string_view>

namespace virgil {

/// True between text[position - 1] and text[position]; 0 < position < text.size().
[[nodiscard]] bool is_word_cut(std::string_view text, std::size_t position);
/// The first cut at or after `position`, or text.size().
[[nodiscard]] std::size_t find_word_cut(std::string_view text, std::size_t position);
/// The last cut at or after `first` that is before a space, else before any white space, or 0 when there is none.
[[nodiscard]] std::size_t find_last_word_cut(std::string_view text, std::size_t first);

}  // namespace virgil
