#include "virgil/config/duration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "support/user_error.h"

namespace virgil {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::string error_of_duration(const std::string& text) {
  return test_support::user_error_of([&] { static_cast<void>(parse_duration(text)); });
}

TEST(Duration, AsPeopleWriteIt) {
  EXPECT_DOUBLE_EQ(parse_duration("2h"), 7200);
  EXPECT_DOUBLE_EQ(parse_duration("90min"), 5400);
  EXPECT_DOUBLE_EQ(parse_duration("1h30m"), 5400);
  EXPECT_DOUBLE_EQ(parse_duration("1.5 hours"), 5400);
  EXPECT_DOUBLE_EQ(parse_duration(" 3 days 12 h "), 84 * 3600);
  EXPECT_DOUBLE_EQ(parse_duration("45S"), 45);
  EXPECT_DOUBLE_EQ(parse_duration("1w"), 7 * 86400);
}

TEST(Duration, WhatIsNone) {
  for (const char* text : {"", " ", "h", "two hours", "2x", "-1h", "1h-", "nan h", "inf h", "1h 30", "1e400h", "2 h h"}) {
    EXPECT_THAT(error_of_duration(text), HasSubstr("is not a length of time")) << text;
  }
  EXPECT_THAT(error_of_duration("2"), AllOf(HasSubstr("has no unit"), HasSubstr("2h"), HasSubstr("2min")));
  EXPECT_THAT(error_of_duration("0h"), HasSubstr("no time at all"));
  EXPECT_THAT(error_of_duration("1e9h"), HasSubstr("more than 100 years"));
  EXPECT_THAT(error_of_duration(std::string(5000, 'x')), SizeIs(::testing::Lt(250U)));
}

}  // namespace
}  // namespace virgil
