// Where a folder keeps its tokenizer: in one file, in vocab.json and merges.txt, or in the checkpoints of a run.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "data/byte_pair_vocabulary.h"

namespace virgil {

inline constexpr const char* kVocabFile = "vocab.json";
inline constexpr const char* kMergesFile = "merges.txt";

/// The bytes of a file of a tokenizer. Throws UserError naming what lies in its place (a Git LFS pointer, a web page).
[[nodiscard]] std::string read_tokenizer_bytes(const std::filesystem::path& path);
/// The same as a JSON object.
[[nodiscard]] nlohmann::json read_tokenizer_part(const std::filesystem::path& path);

/// vocab.json and merges.txt, as ByteLevelBPETokenizer of `tokenizers` and older transformers save them, with the added tokens
/// that the folder's other files name.
[[nodiscard]] BytePairVocabulary read_vocab_and_merges(const std::filesystem::path& folder);

}  // namespace virgil
