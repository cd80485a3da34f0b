#include "data/byte_tokenizer.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/byte_pair_tokenizer.h"
#include "data/token_checks.h"
#include "data/tokenizer_config.h"
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

// For other programs the same mapping is byte-level BPE without merges.
std::vector<Tokenizer::File> ByteTokenizer::files() const {
  BytePairVocabulary bytes;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    bytes.tokens.emplace_back(1, static_cast<char>(byte));
    bytes.byte_ids[byte] = static_cast<std::int32_t>(byte);
  }
  bytes.rules.splitting.gpt2_words = false;
  return {{kVirgilTokenizerFile, write_byte_tokenizer_file()},
          {kTokenizerJsonFile, write_tokenizer_json(bytes)},
          {kTokenizerConfigFile, write_tokenizer_config("")}};
}

std::string ByteTokenizer::fingerprint() const { return sha256_hex("virgil byte tokenizer 1"); }

}  // namespace virgil
