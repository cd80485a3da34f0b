// Byte-level byte-pair encoding as GPT-2 does it (words by WordScanner, merges within each), and as the tokenizers do that
// Hugging Face's `tokenizers` trains: with the rules of a tokenizer.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <unordered_map>

#include "data/added_tokens.h"
#include "data/byte_pair_vocabulary.h"
#include "data/character_classes.h"
#include "data/merge_table.h"
#include "virgil/data/tokenizer.h"

namespace virgil {

inline constexpr const char* kTokenizerJsonFile = "tokenizer.json";

class BytePairTokenizer final : public Tokenizer {
 public:
  /// `origin` is for messages. Of two merges of one pair the later counts, and a merge of tokens that nothing makes never
  /// applies, as in `tokenizers`.
  BytePairTokenizer(BytePairVocabulary vocabulary, const std::filesystem::path& origin);

  /// "gpt2" for GPT-2's own vocabulary, else "bpe:<vocab_size>".
  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] std::int64_t vocab_size() const override { return static_cast<std::int64_t>(vocabulary_.tokens.size()); }
  /// Special tokens are never read from the text: "<|endoftext|>" in it is text like any other.
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const override;
  [[nodiscard]] std::string decode(std::span<const std::int32_t> tokens) const override;
  [[nodiscard]] std::int32_t end_of_text() const override { return vocabulary_.end_of_text; }
  [[nodiscard]] std::vector<File> files() const override;
  [[nodiscard]] std::string fingerprint() const override { return fingerprint_; }
  [[nodiscard]] std::string caveat() const override;

 private:
  class WordEncoder;

  void add_merges(const std::filesystem::path& origin);
  [[nodiscard]] std::vector<std::int32_t> encode_run(std::string_view text) const;
  void encode_gpt2_piece(std::string_view piece, std::vector<std::int32_t>& out) const;

  BytePairVocabulary vocabulary_;
  CharacterClasses classes_;
  TextSplitter splitter_;
  bool is_gpt2_way_;  // GPT-2's rules, and every byte has an id
  AddedTokenFinder raw_added_;
  AddedTokenFinder normalized_added_;
  std::unordered_map<std::string_view, std::int32_t> whole_words_;  // where words that are tokens ignore the merges
  MergeTable merges_;
  std::vector<std::int32_t> id_of_symbol_;
  std::string bytes_;                  // of all tokens, one after the other, padded for copies of kCopyBytes
  std::vector<std::uint32_t> starts_;  // token i is bytes_[starts_[i] .. starts_[i + 1])
  std::string fingerprint_;
  std::string name_;
};

}  // namespace virgil
