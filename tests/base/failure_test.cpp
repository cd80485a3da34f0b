#include "virgil/base/failure.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <filesystem>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

#include "virgil/base/error.h"
#include "virgil/base/non_finite_error.h"
#include "virgil/base/standard_streams.h"

namespace virgil {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

template <typename Error>
Failure failure_of(Error error) {
  return describe_failure(std::make_exception_ptr(error));
}

TEST(Failure, IsTheUsersToMendWhereTheSystemRefused) {
  const Failure path =
      failure_of(std::filesystem::filesystem_error("status", "runs/a", std::make_error_code(std::errc::permission_denied)));
  EXPECT_EQ(path.exit_code, 2);
  EXPECT_THAT(path.message, StartsWith("error: runs/a: "));
  EXPECT_THAT(path.message, HasSubstr("Permission denied; check the owner and the permissions"));
  const Failure memory = failure_of(std::bad_alloc());
  EXPECT_EQ(memory.exit_code, 2);
  EXPECT_THAT(memory.message, HasSubstr("refused memory"));
  const Failure threads = failure_of(std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again)));
  EXPECT_EQ(threads.exit_code, 2);
  EXPECT_THAT(threads.message, HasSubstr("ulimit"));
}

TEST(Failure, KeepsWhatUserErrorsSayWithinBounds) {
  EXPECT_EQ(failure_of(user_error("a: b")).message, "error: a: b");
  EXPECT_EQ(failure_of(user_error("a: b")).exit_code, 2);
  const std::string long_value(100000, 'x');
  EXPECT_LT(failure_of(user_error("{}: is wrong", long_value)).message.size(), 1000U);
}

TEST(Failure, OfAModelThatComputesNaNIsNobodysToMend) {
  const Failure failure = failure_of(NonFiniteError("the logits are NaN"));
  EXPECT_EQ(failure.exit_code, 1);
  EXPECT_EQ(failure.message, "error: the logits are NaN");
}

TEST(Failure, OfVirgilItselfIsInternal) {
  const Failure failure = failure_of(std::logic_error("broken"));
  EXPECT_EQ(failure.exit_code, 1);
  EXPECT_EQ(failure.message, "internal error: broken");
}

// In a process of its own: the numbers of closed streams must not go to the next file.
TEST(StandardStreams, AreOpenedWhereTheyWereClosed) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    for (const int stream : {0, 2}) close(stream);
    open_standard_streams();
    const int next = open("/dev/null", O_RDONLY);
    char byte = 0;
    const bool reads_nothing = read(STDIN_FILENO, &byte, 1) == 0;
    const bool writes = write(STDERR_FILENO, "x", 1) == 1;
    _exit(next > STDERR_FILENO && reads_nothing && writes ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace virgil
