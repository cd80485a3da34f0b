// Both 16-bit formats against an independent method: a sorted table of all finite values, built from the definition of the
// format with ldexp, in which the nearest value is looked up in double.
#include "virgil/base/bfloat16.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <ios>
#include <limits>
#include <vector>

#include "virgil/base/philox.h"

namespace virgil {
namespace {

template <typename T>
struct Format;
template <>
struct Format<BFloat16> {
  static constexpr int kMantissaBits = 7;
  static constexpr int kExponentBits = 8;
};
template <>
struct Format<Float16> {
  static constexpr int kMantissaBits = 10;
  static constexpr int kExponentBits = 5;
};

template <typename T>
T from_bits(std::uint32_t bits) {
  T value;
  value.bits = static_cast<std::uint16_t>(bits);
  return value;
}

/// Value of the magnitude bits of a finite number, from the definition in IEEE 754, section 3.4.
template <typename T>
double value_of(std::uint32_t magnitude) {
  constexpr int kBias = (1 << (Format<T>::kExponentBits - 1)) - 1;
  const auto exponent = static_cast<int>(magnitude >> Format<T>::kMantissaBits);
  const double fraction = magnitude & ((1U << Format<T>::kMantissaBits) - 1);
  const double unit = std::ldexp(fraction, -Format<T>::kMantissaBits);
  return exponent == 0 ? std::ldexp(unit, 1 - kBias) : std::ldexp(1.0 + unit, exponent - kBias);
}

template <typename T>
constexpr std::uint32_t infinity_bits() {
  return ((1U << Format<T>::kExponentBits) - 1) << Format<T>::kMantissaBits;
}

template <typename T>
class HalfFormat : public testing::Test {
 protected:
  HalfFormat() {
    // The last entry, one step above the largest finite value, stands for infinity: IEEE rounds to it as if it were a number.
    for (std::uint32_t bits = 0; bits <= infinity_bits<T>(); ++bits) values_.push_back(value_of<T>(bits));
  }

  [[nodiscard]] std::uint32_t nearest_bits(float value) const {
    const double magnitude = std::fabs(static_cast<double>(value));
    const std::uint32_t sign = std::signbit(value) ? 0x8000U : 0U;
    if (magnitude >= values_.back()) return sign | infinity_bits<T>();
    const auto above = static_cast<std::size_t>(std::ranges::upper_bound(values_, magnitude) - values_.begin());
    const double to_below = magnitude - values_[above - 1];
    const double to_above = values_[above] - magnitude;
    const bool up = to_above < to_below || (to_above == to_below && above % 2 == 0);
    return sign | static_cast<std::uint32_t>(up ? above : above - 1);
  }

  void expect_rounded(float value) const {
    for (const float signed_value : {value, -value}) {
      ASSERT_EQ(T(signed_value).bits, nearest_bits(signed_value)) << std::hexfloat << signed_value;
    }
  }

  std::vector<double> values_;  // by magnitude bits
};

using Formats = testing::Types<BFloat16, Float16>;
TYPED_TEST_SUITE(HalfFormat, Formats);

TYPED_TEST(HalfFormat, WidensEveryFiniteValueExactly) {
  for (std::uint32_t bits = 0; bits < infinity_bits<TypeParam>(); ++bits) {
    ASSERT_EQ(static_cast<double>(static_cast<float>(from_bits<TypeParam>(bits))), value_of<TypeParam>(bits)) << bits;
    const auto negative = static_cast<float>(from_bits<TypeParam>(bits | 0x8000U));
    ASSERT_EQ(static_cast<double>(negative), -value_of<TypeParam>(bits)) << bits;
    ASSERT_TRUE(std::signbit(negative)) << bits;
  }
}

TYPED_TEST(HalfFormat, RoundTripsAllBitPatterns) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto widened = static_cast<float>(from_bits<TypeParam>(bits));
    const bool is_nan = (bits & 0x7FFFU) > infinity_bits<TypeParam>();
    ASSERT_EQ(std::isnan(widened), is_nan) << bits;
    const TypeParam narrowed(widened);
    if (is_nan) {
      ASSERT_TRUE(std::isnan(static_cast<float>(narrowed))) << bits;
      ASSERT_EQ(narrowed.bits & 0x8000U, bits & 0x8000U) << bits;
    } else {
      ASSERT_EQ(narrowed.bits, bits);
    }
  }
}

TYPED_TEST(HalfFormat, RoundsToNearestEvenAroundEveryMidpoint) {
  for (std::size_t bits = 0; bits + 1 < this->values_.size(); ++bits) {
    // One more mantissa bit than the format has: exact in float.
    const double midpoint = (this->values_[bits] + this->values_[bits + 1]) / 2;
    const auto exact = static_cast<float>(midpoint);
    ASSERT_EQ(static_cast<double>(exact), midpoint);
    this->expect_rounded(exact);
    this->expect_rounded(std::nextafter(exact, 0.0F));
    this->expect_rounded(std::nextafter(exact, std::numeric_limits<float>::infinity()));
    if (testing::Test::HasFatalFailure()) return;
  }
}

TYPED_TEST(HalfFormat, RoundsRandomBitPatternsToNearestEven) {
  const RandomStream stream{.seed = 1};
  for (std::uint64_t block = 0; block < 100000; ++block) {
    for (const std::uint32_t word : random_block(stream, block)) {
      const auto value = std::bit_cast<float>(word);
      if (std::isnan(value)) {
        ASSERT_TRUE(std::isnan(static_cast<float>(TypeParam(value)))) << word;
      } else {
        ASSERT_EQ(TypeParam(value).bits, this->nearest_bits(value)) << std::hexfloat << value;
      }
    }
  }
}

TYPED_TEST(HalfFormat, KeepsEveryNanANan) {
  // Payloads whose upper bits are clear, or all ones, are those that truncation or a rounding carry would turn into infinity.
  for (const std::uint32_t word : {0x7F800001U, 0x7F80FFFFU, 0x7FFFFFFFU, 0xFF800001U, 0xFFFFFFFFU, 0x7FC00000U}) {
    EXPECT_TRUE(std::isnan(static_cast<float>(TypeParam(std::bit_cast<float>(word))))) << word;
  }
}

TYPED_TEST(HalfFormat, OverflowsToInfinity) {
  const float largest = std::numeric_limits<float>::max();
  EXPECT_EQ(TypeParam(largest).bits, infinity_bits<TypeParam>());
  EXPECT_EQ(TypeParam(-largest).bits, infinity_bits<TypeParam>() | 0x8000U);
  EXPECT_EQ(TypeParam(std::numeric_limits<float>::infinity()).bits, infinity_bits<TypeParam>());
}

}  // namespace
}  // namespace virgil
