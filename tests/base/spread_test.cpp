#include "virgil/base/spread.h"

#include <gtest/gtest.h>

namespace virgil {
namespace {

TEST(Spread, HasTheQuartilesThatNumpyHas) {
  const Spread odd = spread_of({3, 1, 2, 10, 4});
  EXPECT_EQ(odd.count, 5);
  EXPECT_DOUBLE_EQ(odd.min, 1);
  EXPECT_DOUBLE_EQ(odd.lower, 2);
  EXPECT_DOUBLE_EQ(odd.median, 3);
  EXPECT_DOUBLE_EQ(odd.upper, 4);
  EXPECT_DOUBLE_EQ(odd.max, 10);
  const Spread even = spread_of({8, 1, 4, 2});  // numpy.quantile([1, 2, 4, 8], [0.25, 0.5, 0.75])
  EXPECT_DOUBLE_EQ(even.lower, 1.75);
  EXPECT_DOUBLE_EQ(even.median, 3);
  EXPECT_DOUBLE_EQ(even.upper, 5);
  EXPECT_DOUBLE_EQ(median({8, 1, 4, 2}), 3);
}

TEST(Spread, OfOneIsThatOneAndOfNoneIsZero) {
  const Spread one = spread_of({7});
  for (const double value : {one.min, one.lower, one.median, one.upper, one.max}) EXPECT_EQ(value, 7);
  EXPECT_EQ(one.width(), 0);
  const Spread none = spread_of({});
  EXPECT_EQ(none.count, 0);
  EXPECT_EQ(none.median, 0);
  EXPECT_EQ(none.relative_width(), 0);
}

TEST(Spread, WidthIsOfTheMiddleHalf) {
  const Spread spread = spread_of({80, 90, 100, 110, 1000});
  EXPECT_DOUBLE_EQ(spread.width(), 20);
  EXPECT_DOUBLE_EQ(spread.relative_width(), 0.2);
}

TEST(Spread, TellsFromWhatLiesFurtherAwayThanItIsWide) {
  const Spread share = spread_of({0.84, 0.85, 0.86, 0.87, 0.88});  // 0.86, 0.02 wide
  EXPECT_TRUE(share.tells_from(1));
  EXPECT_TRUE(share.tells_from(0.83));
  EXPECT_FALSE(share.tells_from(0.85));
  EXPECT_FALSE(share.tells_from(0.86));
  EXPECT_FALSE(spread_of({0.67, 0.7, 0.88, 0.9, 0.95}).tells_from(1));
}

TEST(Spread, OfFewMeasurementsTellsNothing) {
  EXPECT_FALSE(spread_of({0.5}).tells_from(1));
  EXPECT_FALSE(spread_of({0.5, 0.5}).tells_from(1));
  EXPECT_TRUE(spread_of({0.5, 0.5, 0.5}).tells_from(1));
  EXPECT_FALSE(spread_of({1, 1, 1}).tells_from(1)) << "no width, and no difference";
}

}  // namespace
}  // namespace virgil
