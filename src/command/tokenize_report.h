// What `tokenize` says.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/data/token_statistics.h"
#include "virgil/data/tokenizer.h"

namespace virgil {

struct TokenizeReport {
  const Tokenizer& tokenizer;
  const TokenStatistics& statistics;
  std::vector<std::string> inputs;  // as given
  std::int64_t num_documents = 0;
  std::string end_mark;              // the tokenizer's end of text, as texts spell it
  std::int64_t num_split_marks = 0;  // such marks in the texts, where they end documents
  std::int64_t text_bytes = 0;       // without ends of text
  std::int64_t train_tokens = 0;
  std::int64_t val_tokens = 0;
  std::vector<std::int32_t> shown;  // the first tokens
  std::string output;               // folder; empty: no token files were written
  std::vector<std::string> files;   // in it
  std::string tokenizer_folder;     // where the tokenizer was saved; empty: nowhere
  std::size_t top = 0;
  double elapsed_s = 0;
};

[[nodiscard]] std::string tokenize_text_report(const TokenizeReport& report);
[[nodiscard]] std::string tokenize_json_report(const TokenizeReport& report);

/// Bytes of a token for people: control characters, and bytes that are not UTF-8, as \n, \t or \x1F.
[[nodiscard]] std::string readable_token(std::string_view bytes);
/// A text cut into tokens by "|", a line feed shown as \n before the line ends.
[[nodiscard]] std::string cut_into_tokens(const Tokenizer& tokenizer, std::span<const std::int32_t> tokens);

}  // namespace virgil
