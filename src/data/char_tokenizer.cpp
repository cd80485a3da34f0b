#include "data/char_tokenizer.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "data/byte_pair_tokenizer.h"
#include "data/char_tokenizer_json.h"
#include "data/parallel_encode.h"
#include "data/token_checks.h"
#include "data/tokenizer_config.h"
#include "data/virgil_tokenizer_file.h"
#include "virgil/base/error.h"
#include "virgil/base/sha256.h"
#include "virgil/base/utf8.h"

namespace virgil {

void CharacterSet::add(std::string_view text) {
  seen_.resize(kCodePointEnd);
  for (std::size_t position = 0; position < text.size();) {
    const Utf8Char character = decode_utf8(text, position);
    if (character.length > 0) seen_[character.code_point] = true;
    position += std::max(character.length, 1U);
  }
}

std::vector<std::uint32_t> CharacterSet::code_points() const {
  std::vector<std::uint32_t> code_points;
  for (std::uint32_t code_point = 0; code_point < seen_.size(); ++code_point) {
    if (seen_[code_point]) code_points.push_back(code_point);
  }
  if (code_points.empty()) throw UserError("the char tokenizer takes its characters from the training text, which has none");
  return code_points;
}

CharTokenizer::CharTokenizer(std::vector<std::uint32_t> code_points)
    : code_points_(std::move(code_points)),
      first_fallback_(static_cast<std::int32_t>(code_points_.size())),
      pages_(kCodePointEnd / 256, 0),
      ids_(256, -1) {
  characters_.reserve(code_points_.size());
  for (std::size_t id = 0; id < code_points_.size(); ++id) {
    const std::uint32_t code_point = code_points_[id];
    append_utf8(characters_.emplace_back(), code_point);
    std::uint16_t& page = pages_[code_point >> 8];
    if (page == 0) {
      page = static_cast<std::uint16_t>(ids_.size() / 256);
      ids_.resize(ids_.size() + 256, -1);
    }
    ids_[static_cast<std::size_t>(page) * 256 + (code_point & 255)] = static_cast<std::int32_t>(id);
  }
}

std::vector<std::int32_t> CharTokenizer::encode(std::string_view text) const {
  return encode_in_parallel(text, find_character_cut,
                            [this](std::string_view piece, std::vector<std::int32_t>& out) { encode_piece(piece, out); });
}

void CharTokenizer::encode_piece(std::string_view piece, std::vector<std::int32_t>& out) const {
  std::array<std::int32_t, 4096> buffer;  // spares the vector's bookkeeping at every id
  std::size_t filled = 0;
  out.reserve(out.size() + piece.size());
  for (std::size_t position = 0; position < piece.size();) {
    if (filled + 8 > buffer.size()) {  // a character makes at most 2 * 4 ids
      out.insert(out.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(filled));
      filled = 0;
    }
    const Utf8Char character = decode_utf8(piece, position);
    const std::size_t length = std::max(character.length, 1U);
    const std::int32_t id = character.length > 0 ? id_of(character.code_point) : -1;
    if (id >= 0) {
      buffer[filled++] = id;
    } else {
      for (std::size_t i = 0; i < length; ++i) {
        const int byte = static_cast<unsigned char>(piece[position + i]);
        buffer[filled++] = first_fallback_ + (byte >> 4);
        buffer[filled++] = first_fallback_ + 16 + (byte & 15);
      }
    }
    position += length;
  }
  out.insert(out.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(filled));
}

std::string CharTokenizer::decode(std::span<const std::int32_t> tokens) const {
  check_tokens(tokens, vocab_size(), name());
  const std::int32_t first_low = first_fallback_ + 16;
  std::string text;
  text.reserve(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::int32_t token = tokens[i];
    if (token < first_fallback_) {
      text += characters_[static_cast<std::size_t>(token)];
    } else if (token < first_low && i + 1 == tokens.size()) {
      break;
    } else if (token < first_low && tokens[i + 1] >= first_low) {
      text.push_back(static_cast<char>(((token - first_fallback_) << 4) | (tokens[i + 1] - first_low)));
      ++i;
    } else {
      append_utf8(text, 0xFFFD);
    }
  }
  return text;
}

std::vector<Tokenizer::File> CharTokenizer::files() const {
  std::vector<File> files = {{kVirgilTokenizerFile, write_char_tokenizer_file(characters_)}};
  if (std::optional<std::string> json = write_char_tokenizer_json(characters_, code_points_)) {
    files.push_back({kTokenizerJsonFile, std::move(*json)});
  }
  // Also without a tokenizer.json: transformers then refuses the folder instead of making a tokenizer of no tokens.
  files.push_back({kTokenizerConfigFile, write_tokenizer_config("")});
  return files;
}

std::string CharTokenizer::fingerprint() const {
  std::string meaning = "virgil char tokenizer 1\n";
  for (const std::string& character : characters_) meaning += character;
  return sha256_hex(meaning);
}

}  // namespace virgil
