// Host storage types for the two 16-bit float formats, with conversions that round to nearest, ties to even.
#pragma once

#include <bit>
#include <cstdint>

namespace virgil {

/// bfloat16: the upper half of an IEEE binary32. Storage only; arithmetic happens in float.
struct BFloat16 {
  std::uint16_t bits = 0;

  BFloat16() = default;
  explicit BFloat16(float value) : bits(round(value)) {}
  explicit operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
  friend bool operator==(BFloat16, BFloat16) = default;

 private:
  static std::uint16_t round(float value) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const bool is_nan = (word & 0x7FFFFFFFU) > 0x7F800000U;
    // Rounding a NaN's mantissa could carry it into infinity: keep it a quiet NaN.
    if (is_nan) return static_cast<std::uint16_t>((word >> 16) | 0x0040U);
    return static_cast<std::uint16_t>((word + 0x7FFFU + ((word >> 16) & 1U)) >> 16);
  }
};

/// IEEE binary16. Storage only.
struct Float16 {
  std::uint16_t bits = 0;

  Float16() = default;
  explicit Float16(float value);
  explicit operator float() const;
  friend bool operator==(Float16, Float16) = default;
};

static_assert(sizeof(BFloat16) == 2 && sizeof(Float16) == 2);

}  // namespace virgil
