// One id per Unicode character of the training text, and a byte fallback for every other byte.
//
// Ids 0 .. n-1 are the characters in code point order (as given when loaded). A byte that belongs to no known character, or to
// no well-formed one, becomes two ids: n + (byte >> 4), then n + 16 + (byte & 15). So n + 32 ids cover every byte string.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/data/tokenizer.h"

namespace virgil {

/// The distinct well-formed characters of a text.
class CharacterSet {
 public:
  void add(std::string_view text);
  /// In order. Throws UserError when no text was added, or no well-formed one.
  [[nodiscard]] std::vector<std::uint32_t> code_points() const;

 private:
  std::vector<bool> seen_;
};

class CharTokenizer final : public Tokenizer {
 public:
  static constexpr std::int32_t kNumFallbackIds = 32;

  /// Code points in id order: scalar values without duplicates (the caller has checked them).
  explicit CharTokenizer(std::vector<std::uint32_t> code_points);

  [[nodiscard]] std::string name() const override { return "char"; }
  [[nodiscard]] std::int64_t vocab_size() const override { return first_fallback_ + kNumFallbackIds; }
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const override;
  /// An id of half a byte without its other half reads as U+FFFD; at the very end the byte is still to come and adds nothing.
  [[nodiscard]] std::string decode(std::span<const std::int32_t> tokens) const override;
  [[nodiscard]] std::int32_t end_of_text() const override { return -1; }
  [[nodiscard]] std::int32_t first_half_byte() const override { return first_fallback_; }
  [[nodiscard]] std::vector<File> files() const override;
  [[nodiscard]] std::string fingerprint() const override;

 private:
  [[nodiscard]] std::int32_t id_of(std::uint32_t code_point) const {
    return ids_[static_cast<std::size_t>(pages_[code_point >> 8]) * 256 + (code_point & 255)];
  }
  void encode_piece(std::string_view piece, std::vector<std::int32_t>& out) const;

  std::vector<std::uint32_t> code_points_;
  std::vector<std::string> characters_;  // UTF-8, by id
  std::int32_t first_fallback_ = 0;
  // Two-stage table from code point to id, -1 where there is none; page 0 is the empty one.
  std::vector<std::uint16_t> pages_;
  std::vector<std::int32_t> ids_;
};

}  // namespace virgil
