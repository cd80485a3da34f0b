#include "data/byte_tokenizer.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/token_checks.h"
#include "data/virgil_tokenizer_file.h"
#include "virgil/base/sha256.h"

namespace virgil {

std::vector<std::int32_t> ByteTokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> tokens(text.size());
  std::transform(text.begin(), text.end(), tokens.begin(), [](char c) { return static_cast<unsigned char>(c); });
  return tokens;
}

std::string ByteTokenizer::decode(std::span<const std::int32_t> tokens) const {
  check_tokens(tokens, vocab_size(), name());
  std::string text(tokens.size(), '\0');
  std::transform(tokens.begin(), tokens.end(), text.begin(), [](std::int32_t token) { return static_cast<char>(token); });
  return text;
}

std::vector<Tokenizer::File> ByteTokenizer::files() const { return {{kVirgilTokenizerFile, write_byte_tokenizer_file()}}; }

std::string ByteTokenizer::fingerprint() const { return sha256_hex("virgil byte tokenizer 1"); }

}  // namespace virgil
