// What a byte-level BPE tokenizer is made of, and the spellings it has on disk.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace virgil {

inline constexpr std::string_view kEndOfText = "<|endoftext|>";

struct BytePairVocabulary {
  std::vector<std::string> tokens;           // bytes of each id
  std::array<std::int32_t, 256> byte_ids{};  // the id of each single byte
  /// Earliest first: the ids that join, and the id of what they make.
  struct Merge {
    std::int32_t left;
    std::int32_t right;
    std::int32_t result;
  };
  std::vector<Merge> merges;
  std::int32_t end_of_text = -1;  // its token is kEndOfText
};

/// GPT-2's order of the single bytes: the printable ones first. Entry i is the byte with id i.
[[nodiscard]] std::array<unsigned char, 256> gpt2_byte_order();

/// The 256 bytes in GPT-2's order, no merges, no end of text.
[[nodiscard]] BytePairVocabulary byte_vocabulary();

/// Parses a ranks file as tiktoken has it, lines "<token in base64> <rank>", and finds the merge behind every token; appends
/// kEndOfText. Throws UserError naming the line.
[[nodiscard]] BytePairVocabulary read_ranks(std::string_view content, const std::filesystem::path& path);

/// Hugging Face `tokenizers` format (model BPE, pre-tokenizer and decoder ByteLevel).
[[nodiscard]] std::string write_tokenizer_json(const BytePairVocabulary& vocabulary);
/// Parses untrusted content. Throws UserError naming the defect, or the setting that Virgil does not know.
[[nodiscard]] BytePairVocabulary read_tokenizer_json(std::string_view content, const std::filesystem::path& path);

/// SHA-256 (hex) of ids, bytes and merges.
[[nodiscard]] std::string fingerprint_of(const BytePairVocabulary& vocabulary);

}  // namespace virgil
