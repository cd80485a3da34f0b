#include "virgil/base/bfloat16.h"

namespace virgil {

namespace {

/// value / 2^shift rounded to nearest, ties to even; shift >= 1.
std::uint32_t shift_right_rounded(std::uint32_t value, std::uint32_t shift) {
  const std::uint32_t half = 1U << (shift - 1);
  const std::uint32_t quotient = value >> shift;
  const std::uint32_t remainder = value & ((half << 1) - 1);
  return quotient + ((remainder > half || (remainder == half && (quotient & 1U) != 0)) ? 1U : 0U);
}

std::uint16_t to_binary16(float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (word >> 16) & 0x8000U;
  const std::uint32_t magnitude = word & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<std::uint16_t>(sign | 0x7E00U);   // NaN, kept quiet
  if (magnitude >= 0x477FF000U) return static_cast<std::uint16_t>(sign | 0x7C00U);  // rounds to 2^16 or is infinite
  if (magnitude >= 0x38800000U) {                                                   // normal in binary16: 2^-14 and up
    return static_cast<std::uint16_t>(sign | shift_right_rounded(magnitude - 0x38000000U, 13));
  }
  if (magnitude <= 0x33000000U) return static_cast<std::uint16_t>(sign);  // 2^-25 and below round to zero
  const std::uint32_t exponent = magnitude >> 23;
  const std::uint32_t mantissa = (magnitude & 0x7FFFFFU) | 0x800000U;
  return static_cast<std::uint16_t>(sign | shift_right_rounded(mantissa, 126 - exponent));
}

float from_binary16(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
  const std::uint32_t magnitude = bits & 0x7FFFU;
  if (magnitude >= 0x7C00U) return std::bit_cast<float>(sign | 0x7F800000U | ((magnitude & 0x3FFU) << 13));
  if (magnitude >= 0x0400U) return std::bit_cast<float>(sign | ((magnitude << 13) + 0x38000000U));
  const float subnormal = static_cast<float>(magnitude) * 0x1.0p-24F;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(subnormal));
}

}  // namespace

Float16::Float16(float value) : bits(to_binary16(value)) {}
Float16::operator float() const { return from_binary16(bits); }

}  // namespace virgil
