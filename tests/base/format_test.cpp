#include "virgil/base/format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace virgil {
namespace {

TEST(FormatCount, PutsACommaBeforeEveryThousand) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1000), "1,000");
  EXPECT_EQ(format_count(10769280), "10,769,280");
  EXPECT_EQ(format_count(-1234), "-1,234");
  EXPECT_EQ(format_count(-123), "-123");
  EXPECT_EQ(format_count(std::numeric_limits<std::int64_t>::max()), "9,223,372,036,854,775,807");
}

TEST(FormatDuration, HasTwoUnits) {
  EXPECT_EQ(format_duration(0), "0s");
  EXPECT_EQ(format_duration(59.4), "59s");
  EXPECT_EQ(format_duration(59.6), "1m00s");
  EXPECT_EQ(format_duration(2112), "35m12s");
  EXPECT_EQ(format_duration(7500), "2h05m");
  EXPECT_EQ(format_duration(2 * 86400 - 60), "47h59m");
  EXPECT_EQ(format_duration(360000), "4d04h");
  EXPECT_EQ(format_duration(-1), "?");
  EXPECT_EQ(format_duration(std::numeric_limits<double>::infinity()), "?");
}

TEST(DurationInWords, SpeaksOfDaysAndYears) {
  EXPECT_EQ(duration_in_words(41), "41s");
  EXPECT_EQ(duration_in_words(2 * 86400 - 60), "47h59m");
  EXPECT_EQ(duration_in_words(517.33 * 3600), "22 days");
  EXPECT_EQ(duration_in_words(2.5 * 365.25 * 86400), "2.5 years");
  EXPECT_EQ(duration_in_words(1234.0 * 365.25 * 86400), "1,234 years");
  EXPECT_EQ(duration_in_words(std::numeric_limits<double>::quiet_NaN()), "?");
  EXPECT_EQ(duration_in_words(1e300), "?");
}

TEST(PlainNan, HasNoSign) {
  EXPECT_FALSE(std::signbit(plain_nan(-std::numeric_limits<double>::quiet_NaN())));
  EXPECT_EQ(plain_nan(-1.5), -1.5);
  EXPECT_EQ(plain_nan(-std::numeric_limits<double>::infinity()), -std::numeric_limits<double>::infinity());
}

TEST(FormatGib, HasTwoDecimals) {
  EXPECT_EQ(format_gib(0), "0.00");
  EXPECT_EQ(format_gib(std::int64_t{3} << 29), "1.50");
  EXPECT_EQ(format_gib(-(std::int64_t{1} << 30)), "-1.00");
}

}  // namespace
}  // namespace virgil
