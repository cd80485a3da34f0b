// tokenizer.virgil.json: the byte and char tokenizers on disk. Format: docs/tokenizers.md.
//
//   {"format": "virgil-tokenizer", "version": 1, "type": "byte"}
//   {"format": "virgil-tokenizer", "version": 1, "type": "char", "characters": ["\n", " ", "!", ...]}   in id order
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/data/tokenizer.h"

namespace virgil {

inline constexpr const char* kVirgilTokenizerFile = "tokenizer.virgil.json";

[[nodiscard]] std::string write_byte_tokenizer_file();
[[nodiscard]] std::string write_char_tokenizer_file(const std::vector<std::string>& characters);

/// Parses untrusted content; `path` is for messages. Throws UserError naming the defect: malformed JSON, an unknown format,
/// version or type, an entry that is not exactly one character, a duplicate.
[[nodiscard]] std::unique_ptr<Tokenizer> read_virgil_tokenizer_file(std::string_view content,
                                                                    const std::filesystem::path& path);

}  // namespace virgil
