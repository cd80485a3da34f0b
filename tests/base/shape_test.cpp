#include "virgil/base/shape.h"

#include <gtest/gtest.h>

#include <limits>

#include "virgil/base/error.h"

namespace virgil {
namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

TEST(CheckedArithmetic, GivesExactResults) {
  EXPECT_EQ(checked_multiply(50304, 768), 38633472);
  EXPECT_EQ(checked_multiply(0, kMax), 0);
  EXPECT_EQ(checked_multiply(1, kMax), kMax);
  EXPECT_EQ(checked_add(kMax - 1, 1), kMax);
}

TEST(CheckedArithmetic, ThrowsUserErrorOnOverflow) {
  EXPECT_THROW((void)checked_multiply(std::int64_t{1} << 32, std::int64_t{1} << 31), UserError);
  EXPECT_THROW((void)checked_multiply(kMax, 2), UserError);
  EXPECT_THROW((void)checked_add(kMax, 1), UserError);
  EXPECT_THROW((void)round_up(kMax, 64), UserError);
}

TEST(CheckedArithmetic, ErrorNamesTheOperands) {
  try {
    (void)checked_multiply(kMax, 3);
    FAIL() << "nothing was thrown";
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("9223372036854775807 * 3"), std::string::npos) << error.what();
  }
}

TEST(CheckedArithmetic, RoundsUpToMultiples) {
  EXPECT_EQ(round_up(0, 64), 0);
  EXPECT_EQ(round_up(1, 64), 64);
  EXPECT_EQ(round_up(64, 64), 64);
  EXPECT_EQ(round_up(65, 64), 128);
  EXPECT_EQ(round_up(50257, 64), 50304);
  EXPECT_EQ(round_up(7, 1), 7);
}

TEST(CheckedArithmetic, DividesRoundingUp) {
  EXPECT_EQ(ceil_div(0, 3), 0);
  EXPECT_EQ(ceil_div(1, 3), 1);
  EXPECT_EQ(ceil_div(3, 3), 1);
  EXPECT_EQ(ceil_div(4, 3), 2);
  EXPECT_EQ(ceil_div(kMax, 1), kMax);
  EXPECT_EQ(ceil_div(kMax, 2), kMax / 2 + 1);
}

TEST(Shape, RankZeroIsAScalar) {
  const Shape scalar;
  EXPECT_EQ(scalar.rank(), 0);
  EXPECT_EQ(scalar.num_elements(), 1);
  EXPECT_EQ(scalar.to_string(), "()");
}

TEST(Shape, CountsElementsAndRows) {
  const Shape shape{4, 256, 384};
  EXPECT_EQ(shape.rank(), 3);
  EXPECT_EQ(shape.num_elements(), 4 * 256 * 384);
  EXPECT_EQ(shape.num_rows(), 4 * 256);
  EXPECT_EQ(Shape{7}.num_rows(), 1);
  EXPECT_EQ((Shape{3, 0}).num_elements(), 0);
}

TEST(Shape, IndexesFromBothEnds) {
  const Shape shape{4, 256, 384};
  EXPECT_EQ(shape[0], 4);
  EXPECT_EQ(shape[-1], 384);
  EXPECT_EQ(shape[-3], 4);
  EXPECT_THROW((void)shape[3], InternalError);
  EXPECT_THROW((void)shape[-4], InternalError);
}

TEST(Shape, PrintsItsSizes) { EXPECT_EQ((Shape{4, 256, 384}).to_string(), "(4, 256, 384)"); }

TEST(Shape, ComparesRankAndSizes) {
  EXPECT_EQ((Shape{2, 3}), (Shape{2, 3}));
  EXPECT_NE((Shape{2, 3}), (Shape{3, 2}));
  EXPECT_NE((Shape{2}), (Shape{2, 1}));
  EXPECT_NE(Shape{}, Shape{0});
}

TEST(Shape, RefusesTooManyDimensionsAndNegativeSizes) {
  EXPECT_NO_THROW((Shape{1, 2, 3, 4}));
  EXPECT_THROW((Shape{1, 2, 3, 4, 5}), InternalError);
  EXPECT_THROW((Shape{2, -1}), InternalError);
}

TEST(Shape, ThrowsUserErrorWhenElementsOverflow) {
  const Shape shape{std::int64_t{1} << 31, std::int64_t{1} << 31, 2};
  EXPECT_THROW((void)shape.num_elements(), UserError);
  EXPECT_EQ(shape.num_rows(), std::int64_t{1} << 62);
}

}  // namespace
}  // namespace virgil
