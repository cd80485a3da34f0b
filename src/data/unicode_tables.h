// The tables of unicode_properties.inc.
#pragma once

#include <cstdint>
#include <span>

#include "data/code_point_set.h"

namespace virgil {

/// Where each run of one general category begins: the code point << 8 | the category's index (see code_point_set.cpp).
[[nodiscard]] std::span<const std::uint32_t> category_starts();
[[nodiscard]] std::span<const CodePointRange> han_ranges();

struct CombiningRange {
  std::uint32_t first;
  std::uint32_t last;
  std::uint8_t combining_class;
};
[[nodiscard]] std::span<const CombiningRange> combining_ranges();

/// Of one character into one or two (second is 0 then); ascending.
struct Decomposition {
  std::uint32_t code_point;
  std::uint32_t first;
  std::uint32_t second;
  bool composes;  // the two become the character again in NFC
};
[[nodiscard]] std::span<const Decomposition> canonical_decompositions();

}  // namespace virgil
