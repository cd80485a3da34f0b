#include "virgil/base/provisional_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include "support/temporary_directory.h"
#include "support/user_error.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;

class ProvisionalFolderTest : public testing::Test {
 protected:
  test_support::TemporaryDirectory directory_;
  std::unique_ptr<FileSystem> files_ = make_posix_file_system();
  fs::path runs_ = directory_.path() / "runs";
};

TEST_F(ProvisionalFolderTest, GoesWithTheFoldersThatItMade) {
  {
    const ProvisionalFolder folder(*files_, runs_ / "a" / "b");
    EXPECT_TRUE(fs::is_directory(runs_ / "a" / "b"));
  }
  EXPECT_FALSE(fs::exists(runs_));
  fs::create_directories(runs_ / "a");
  { const ProvisionalFolder folder(*files_, runs_ / "a" / "b/"); }
  EXPECT_TRUE(fs::is_directory(runs_ / "a")) << "which was there";
  EXPECT_FALSE(fs::exists(runs_ / "a" / "b"));
  { const ProvisionalFolder folder(*files_, runs_ / "a"); }
  EXPECT_TRUE(fs::is_directory(runs_ / "a"));
}

TEST_F(ProvisionalFolderTest, StaysWithWhatIsInIt) {
  {
    const ProvisionalFolder folder(*files_, runs_ / "a" / "b");
    test_support::write_all(runs_ / "a" / "kept.txt", "x");
    folder.remove_what_is_empty();
    EXPECT_FALSE(fs::exists(runs_ / "a" / "b"));
  }
  EXPECT_TRUE(fs::exists(runs_ / "a" / "kept.txt"));
}

TEST_F(ProvisionalFolderTest, LeavesNothingWhereItCannotBeMade) {
  fs::create_directories(runs_);
  test_support::write_all(runs_ / "file", "x");
  EXPECT_NE(test_support::user_error_of([&] { const ProvisionalFolder folder(*files_, runs_ / "file" / "a"); }), "");
  EXPECT_TRUE(fs::is_regular_file(runs_ / "file"));
}

}  // namespace
}  // namespace virgil
