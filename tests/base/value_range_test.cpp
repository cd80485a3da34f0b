#include "virgil/base/value_range.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace virgil {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// The bytes of values, behind `skew` others, so that they stand at an odd address.
template <typename Float>
ValueRange range_of(const std::vector<float>& values, std::size_t skew = 1) {
  std::vector<std::byte> bytes(skew + values.size() * sizeof(Float));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Float value(values[i]);
    std::memcpy(bytes.data() + skew + i * sizeof(Float), &value, sizeof(Float));
  }
  return find_value_range(DTypeOf<Float>::value, std::span(bytes).subspan(skew));
}

template <typename Float>
void finds_what_is_not_finite() {
  // More than a block of the scan, and a part of one.
  std::vector<float> values(70'001, 0.5F);
  values[3] = -1.5F;
  ValueRange range = range_of<Float>(values);
  EXPECT_TRUE(range.is_finite());
  EXPECT_EQ(range.num_values, 70'001);
  EXPECT_EQ(range.max_magnitude, 1.5F);
  for (const float bad : {kInfinity, -kInfinity, kNan, -kNan}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{16'384}, values.size() - 1}) {
      std::vector<float> spoilt = values;
      spoilt[at] = bad;
      spoilt.back() = bad;
      range = range_of<Float>(spoilt);
      EXPECT_EQ(range.num_non_finite, at + 1 == values.size() ? 1 : 2) << bad;
      EXPECT_EQ(range.first_non_finite, static_cast<std::int64_t>(at)) << bad;
      EXPECT_EQ(range.max_magnitude, 1.5F) << "of the finite ones";
    }
  }
}

TEST(ValueRange, FindsWhatIsNotFinite) {
  finds_what_is_not_finite<float>();
  finds_what_is_not_finite<BFloat16>();
  finds_what_is_not_finite<Float16>();
}

TEST(ValueRange, TakesExtremesForFinite) {
  EXPECT_TRUE(range_of<float>({std::numeric_limits<float>::max(), std::numeric_limits<float>::denorm_min()}).is_finite());
  EXPECT_TRUE(range_of<Float16>({65504, -0.0F}).is_finite());
  EXPECT_TRUE(range_of<float>({}).is_finite());
  EXPECT_EQ(range_of<float>({}).num_values, 0);
}

template <typename Float>
void bounds_what_rounds_to_finite() {
  const float largest = largest_finite(DTypeOf<Float>::value);
  EXPECT_TRUE(std::isfinite(static_cast<float>(Float(largest))));
  EXPECT_TRUE(std::isinf(static_cast<float>(Float(std::nextafter(largest, kInfinity)))));
}

TEST(ValueRange, KnowsTheLargestValueThatATypeHolds) {
  bounds_what_rounds_to_finite<float>();
  bounds_what_rounds_to_finite<BFloat16>();
  bounds_what_rounds_to_finite<Float16>();
}

}  // namespace
}  // namespace virgil
