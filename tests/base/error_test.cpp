#include "virgil/base/error.h"

#include <gtest/gtest.h>

#include <string>
#include <type_traits>

namespace virgil {
namespace {

std::string message_of_failed_check() {
  try {
    const int rows = 3;
    VIRGIL_CHECK(rows == 4, "{} rows of {}", rows, "wte");
  } catch (const InternalError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Error, CheckNamesFileConditionAndValues) {
  const std::string message = message_of_failed_check();
  EXPECT_NE(message.find("error_test.cpp:"), std::string::npos) << message;
  EXPECT_NE(message.find("rows == 4"), std::string::npos) << message;
  EXPECT_NE(message.find("3 rows of wte"), std::string::npos) << message;
}

TEST(Error, CheckDoesNothingWhenTrue) {
  int evaluations = 0;
  EXPECT_NO_THROW(VIRGIL_CHECK(++evaluations == 1, "evaluated {} times", evaluations));
  EXPECT_EQ(evaluations, 1);
}

TEST(Error, CheckIsOneStatement) {
  bool reached_else = false;
  if (reached_else)
    VIRGIL_CHECK(false, "never reached");
  else
    reached_else = true;
  EXPECT_TRUE(reached_else);
}

TEST(Error, UserErrorFormatsItsMessage) {
  const UserError error = user_error("{}: vocab_size is {}", "runs/a", 50257);
  EXPECT_STREQ(error.what(), "runs/a: vocab_size is 50257");
}

TEST(Error, KindsAreToldApartByType) {
  // Programs map UserError (and so OutOfMemoryError) to exit code 2 and every other Error to 1.
  EXPECT_THROW(throw OutOfMemoryError("full"), UserError);
  EXPECT_THROW(throw user_error("bad"), Error);
  EXPECT_THROW(throw InternalError("broken"), Error);
  EXPECT_FALSE((std::is_base_of_v<UserError, InternalError>));
}

}  // namespace
}  // namespace virgil
