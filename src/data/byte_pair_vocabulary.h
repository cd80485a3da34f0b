// What a byte-level BPE tokenizer is made of, and the spellings it has on disk.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/text_splitter.h"
#include "virgil/data/end_of_text.h"

namespace virgil {

/// A token that is taken from the text as it stands, before the text is cut into words (`tokenizers`: AddedToken).
struct AddedToken {
  std::string content;
  std::int32_t id = 0;
  bool after_normalizing = false;
  bool single_word = false;  // only where no word character (\w) stands beside it
  bool strips_left = false;  // takes the white space before it along
  bool strips_right = false;
  bool is_text = false;  // special: what spells it is text, and no other is looked for inside it
};

/// How a text becomes ids; the default is GPT-2's way.
struct BytePairRules {
  SplittingRules splitting;
  bool composes = false;         // the text is brought to NFC first
  bool ignores_merges = false;   // a word that is a token is that token, whatever the merges make of it
  std::int32_t unknown_id = -1;  // for bytes without an id; -1: they are dropped
  bool fuses_unknown = false;    // a run of such bytes takes one unknown_id
  std::vector<AddedToken> added;
  [[nodiscard]] bool is_gpt2() const {
    return splitting.is_gpt2() && !composes && !ignores_merges && unknown_id < 0 && added.empty();
  }
};

struct BytePairVocabulary {
  std::vector<std::string> tokens;           // bytes of each id; empty where an id stands for nothing
  std::array<std::int32_t, 256> byte_ids{};  // the id of each single byte, or -1
  /// Earliest first: the ids that join, and the id of what they make.
  struct Merge {
    std::int32_t left;
    std::int32_t right;
    std::int32_t result;
  };
  std::vector<Merge> merges;
  std::int32_t end_of_text = -1;
  BytePairRules rules;
  std::string tokenizer_json;  // the file it was read from, to be written again; empty: write_tokenizer_json makes one
};

/// GPT-2's order of the single bytes: the printable ones first. Entry i is the byte with id i.
[[nodiscard]] std::array<unsigned char, 256> gpt2_byte_order();

/// The 256 bytes in GPT-2's order, no merges, no end of text.
[[nodiscard]] BytePairVocabulary byte_vocabulary();

/// Parses a ranks file as tiktoken has it, lines "<token in base64> <rank>", and finds the merge behind every token; appends
/// kEndOfText. Throws UserError naming the line.
[[nodiscard]] BytePairVocabulary read_ranks(std::string_view content, const std::filesystem::path& path);

/// Hugging Face `tokenizers` format (model BPE, pre-tokenizer and decoder ByteLevel), of a vocabulary with GPT-2's rules.
[[nodiscard]] std::string write_tokenizer_json(const BytePairVocabulary& vocabulary);

/// What the files beside a tokenizer.json say of the token that ends a document.
struct EndOfTextHint {
  std::string token;     // empty: nothing
  std::int32_t id = -1;  // -1: nothing
};
/// Parses untrusted content. Throws UserError naming the defect, or all the settings that Virgil does not know.
[[nodiscard]] BytePairVocabulary read_tokenizer_json(std::string_view content, const std::filesystem::path& path,
                                                     const EndOfTextHint& hint = {});

/// GPT-2's printable character for each byte of a token.
[[nodiscard]] std::string spell_bytes(std::string_view bytes);

/// SHA-256 (hex) of ids, bytes, merges and rules.
[[nodiscard]] std::string fingerprint_of(const BytePairVocabulary& vocabulary);

}  // namespace virgil
