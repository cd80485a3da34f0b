#include "run_report/axis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace virgil {
namespace {

using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::Le;
using ::testing::SizeIs;

std::vector<std::string> labels(const Axis& axis) {
  std::vector<std::string> labels;
  for (const Tick& tick : axis.ticks) labels.push_back(tick.label);
  return labels;
}

TEST(Axis, TicksAreRoundNumbers) {
  EXPECT_THAT(labels(linear_axis(0, 1499, 6, AxisEnds::kExact)), ElementsAre("0", "500", "1,000"));
  EXPECT_THAT(labels(linear_axis(0, 1499, 8, AxisEnds::kExact)),
              ElementsAre("0", "200", "400", "600", "800", "1,000", "1,200", "1,400"));
  EXPECT_THAT(labels(linear_axis(1.47, 4.61, 4, AxisEnds::kRound)), ElementsAre("1", "2", "3", "4", "5"));
  EXPECT_THAT(labels(linear_axis(0, 0.001, 5, AxisEnds::kRound)),
              ElementsAre("0", "0.0002", "0.0004", "0.0006", "0.0008", "0.0010"));
  EXPECT_THAT(labels(linear_axis(0, 3e-5, 3, AxisEnds::kRound)), ElementsAre("0", "1e-5", "2e-5", "3e-5"));
  EXPECT_THAT(labels(linear_axis(-1, 1, 2, AxisEnds::kRound)), ElementsAre("-1", "0", "1"));
}

TEST(Axis, RoundEndsHoldAllValues) {
  const Axis axis = linear_axis(1.47, 4.61, 4, AxisEnds::kRound);
  EXPECT_THAT(axis.low, Le(1.47));
  EXPECT_THAT(axis.high, Ge(4.61));
  EXPECT_EQ(axis.place(axis.low), 0);
  EXPECT_EQ(axis.place(axis.high), 1);
}

TEST(Axis, ValuesThatAreAllTheSameGetAnAxisAroundThem) {
  for (const double value : {0.0, 5.0, -3.0, 1e300, 1e-300, 5e-324, 1e15 + 1}) {
    const Axis axis = linear_axis(value, value, 5, AxisEnds::kRound);
    EXPECT_GT(axis.high, axis.low) << value;
    EXPECT_THAT(axis.place(value), testing::AllOf(Ge(0.0), Le(1.0))) << value;
    EXPECT_THAT(axis.ticks, SizeIs(Ge(1U))) << value;
    EXPECT_THAT(axis.ticks, SizeIs(Le(8U))) << value;
  }
}

TEST(Axis, TheLargestValuesDoNotOverflow) {
  EXPECT_FALSE(is_plottable(1e301));
  const Axis axis = linear_axis(-1e300, 1e300, 5, AxisEnds::kRound);
  EXPECT_NEAR(axis.place(0), 0.5, 1e-12);
  EXPECT_THAT(labels(axis), testing::Contains("1.0e300"));
  const Axis steps = linear_axis(0, 9.2e18, 5, AxisEnds::kExact);
  EXPECT_THAT(labels(steps), ElementsAre("0", "2e18", "4e18", "6e18", "8e18"));
}

TEST(Axis, LogarithmicTicksArePowers) {
  EXPECT_THAT(labels(log_axis(0.5, 2000, 5)), ElementsAre("1", "10", "100", "1,000"));
  EXPECT_THAT(labels(log_axis(0.9, 12, 6)), ElementsAre("1", "2", "5", "10"));
  EXPECT_THAT(labels(log_axis(1e-300, 1e300, 5)), SizeIs(Le(7U)));
  EXPECT_THAT(labels(log_axis(3, 3, 5)), SizeIs(Ge(1U)));
  EXPECT_THAT(labels(log_axis(5e-324, 1, 5)), SizeIs(Ge(1U)));
  EXPECT_NEAR(log_axis(1, 100, 5).place(10), 0.5, 1e-12);
}

TEST(Axis, ValuesAreWrittenForPeople) {
  EXPECT_EQ(number_text(1234567.891, 1), "1,234,567.9");
  EXPECT_EQ(number_text(-1234, 0), "-1,234");
  EXPECT_EQ(number_text(-0.001, 1), "0.0");
  EXPECT_EQ(value_text(1.47293, 5), "1.4729");
  EXPECT_EQ(value_text(123456, 4), "123,456");
  EXPECT_EQ(value_text(0.000012345, 3), "1.23e-5");
  EXPECT_EQ(value_text(0, 4), "0.000");
}

}  // namespace
}  // namespace virgil
