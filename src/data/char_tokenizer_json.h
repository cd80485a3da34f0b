// The char tokenizer as a tokenizer.json, for Hugging Face's `tokenizers` and transformers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace virgil {

/// A tokenizer.json with the ids of CharTokenizer, known and unknown characters, and the same text back. `characters` in id
/// order, as UTF-8 and as code points. Nothing where the characters leave no room for it: they hold almost all of U+0180 to
/// U+07FF.
[[nodiscard]] std::optional<std::string> write_char_tokenizer_json(const std::vector<std::string>& characters,
                                                                   const std::vector<std::uint32_t>& code_points);

}  // namespace virgil
