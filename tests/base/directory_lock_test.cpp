#include "virgil/base/directory_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "support/temporary_directory.h"
#include "support/user_error.h"

namespace virgil {
namespace {

using test_support::user_error_of;

// A second open of the folder has a lock of its own, as another process has: flock belongs to the open file.
TEST(DirectoryLock, IsRefusedWhileHeldAndFreeAfterwards) {
  const test_support::TemporaryDirectory directory;
  std::optional<DirectoryLock> lock(directory.path());
  EXPECT_THAT(user_error_of([&] { const DirectoryLock second(directory.path()); }),
              testing::AllOf(testing::HasSubstr(directory.path().string()), testing::HasSubstr("another process")));
  lock.reset();
  const DirectoryLock third(directory.path());
}

TEST(DirectoryLock, MovesWithItsOwner) {
  const test_support::TemporaryDirectory directory;
  std::optional<DirectoryLock> first(directory.path());
  const DirectoryLock second(std::move(*first));
  first.reset();
  EXPECT_THROW(const DirectoryLock third(directory.path()), UserError);
}

TEST(DirectoryLock, IsWaitedForWithinALimit) {
  const test_support::TemporaryDirectory directory;
  std::optional<DirectoryLock> lock(directory.path());
  EXPECT_FALSE(DirectoryLock::wait_for(directory.path(), std::chrono::milliseconds(1)));
  std::thread holder([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    lock.reset();
  });
  EXPECT_TRUE(DirectoryLock::wait_for(directory.path(), std::chrono::minutes(1)));
  holder.join();
}

TEST(DirectoryLock, PutsNothingIntoTheFolder) {
  const test_support::TemporaryDirectory directory;
  const DirectoryLock lock(directory.path());
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(DirectoryLock, NamesAFolderThatIsNotThere) {
  const test_support::TemporaryDirectory directory;
  EXPECT_THAT(user_error_of([&] { const DirectoryLock lock(directory.path() / "absent"); }), testing::HasSubstr("absent"));
}

}  // namespace
}  // namespace virgil
