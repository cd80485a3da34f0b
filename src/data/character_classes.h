// The classes of characters that GPT-2's splitting rule speaks of: \p{L}, \p{N}, \s, and the rest.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace virgil {

enum class CharacterClass : std::uint8_t { kOther, kLetter, kNumber, kSpace };

/// A two-stage table over all of Unicode, about 50 KB; the Unicode version is fixed (see unicode_properties.inc), so that a
/// text has the same tokens on every machine.
class CharacterClasses {
 public:
  CharacterClasses();

  [[nodiscard]] CharacterClass of(std::uint32_t code_point) const {
    return table_[static_cast<std::size_t>(pages_[code_point >> 8]) * 256 + (code_point & 255)];
  }
  /// For bytes below 0x80.
  [[nodiscard]] CharacterClass of_ascii(unsigned char byte) const { return ascii_[byte]; }

 private:
  std::array<CharacterClass, 128> ascii_;
  std::vector<std::uint8_t> pages_;
  std::vector<CharacterClass> table_;
};

}  // namespace virgil
