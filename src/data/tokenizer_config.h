// tokenizer_config.json: how Hugging Face's transformers opens the tokenizer beside it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "data/byte_pair_vocabulary.h"

namespace virgil {

inline constexpr const char* kTokenizerConfigFile = "tokenizer_config.json";

/// `end_of_text` is the token that ends a document, or empty.
[[nodiscard]] std::string write_tokenizer_config(std::string_view end_of_text);

/// What tokenizer_config.json, special_tokens_map.json and config.json of a folder say of the end of text. Throws UserError on
/// a file that is there and cannot be read.
[[nodiscard]] EndOfTextHint read_end_of_text_hint(const std::filesystem::path& folder);

}  // namespace virgil
