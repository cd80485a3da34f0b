#include "virgil/base/format.h"

#include <gtest/gtest.h>

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

TEST(FormatGib, HasTwoDecimals) {
  EXPECT_EQ(format_gib(0), "0.00");
  EXPECT_EQ(format_gib(std::int64_t{3} << 29), "1.50");
  EXPECT_EQ(format_gib(-(std::int64_t{1} << 30)), "-1.00");
}

}  // namespace
}  // namespace virgil
