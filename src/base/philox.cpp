#include "virgil/base/philox.h"

#include <cmath>
#include <numbers>

namespace virgil {

std::uint64_t random_below(const RandomStream& stream, std::uint64_t index, std::uint64_t bound) {
  const PhiloxBlock block = random_block(stream, index);
  const std::uint64_t bits = (std::uint64_t{block[1]} << 32) | block[0];
  // The upper half of the 128-bit product bits * bound, in 32-bit limbs: __int128 is not standard C++.
  const std::uint64_t low = (bits & 0xFFFFFFFFU) * (bound & 0xFFFFFFFFU);
  const std::uint64_t middle1 = (bits >> 32) * (bound & 0xFFFFFFFFU) + (low >> 32);
  const std::uint64_t middle2 = (bits & 0xFFFFFFFFU) * (bound >> 32) + (middle1 & 0xFFFFFFFFU);
  return (bits >> 32) * (bound >> 32) + (middle1 >> 32) + (middle2 >> 32);
}

float random_normal(const RandomStream& stream, std::uint64_t index) {
  const PhiloxBlock block = random_block(stream, index / 2);
  // (0, 1]: the logarithm never sees zero.
  const double u1 = (static_cast<double>(block[0]) + 1.0) * 0x1.0p-32;
  const double u2 = static_cast<double>(block[1]) * 0x1.0p-32;
  const double radius = std::sqrt(-2.0 * std::log(u1));
  const double angle = 2.0 * std::numbers::pi * u2;
  return static_cast<float>(radius * (index % 2 == 0 ? std::cos(angle) : std::sin(angle)));
}

}  // namespace virgil
