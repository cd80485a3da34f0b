#include "virgil/base/folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "support/temporary_directory.h"
#include "support/user_error.h"
#include "virgil/base/error.h"
#include "virgil/base/paths.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;
using test_support::user_error_of;
using test_support::write_all;
using ::testing::AllOf;
using ::testing::HasSubstr;

class FolderTest : public ::testing::Test {
 protected:
  FolderTest() {
    fs::create_directory(folder_);
    write_all(folder_ / "a", "old");
  }
  test_support::TemporaryDirectory directory_;
  fs::path folder_ = directory_.path() / "folder";
};

TEST_F(FolderTest, StaysTheSameWhenAnotherTakesItsName) {
  const Folder folder(folder_);
  fs::rename(folder_, directory_.path() / "aside");
  fs::create_directory(folder_);
  write_all(folder_ / "a", "new");
  write_all(folder_ / "b", "new");
  EXPECT_EQ(folder.read("a", 100), "old");
  EXPECT_FALSE(folder.holds("b"));
  EXPECT_FALSE(folder.stands_at(folder_));
  EXPECT_TRUE(folder.stands_at(directory_.path() / "aside"));
  const MappedFile mapped = folder.map("a");
  EXPECT_EQ(mapped.bytes().size(), 3U);
  EXPECT_EQ(mapped.path(), folder_ / "a");
}

TEST_F(FolderTest, ErrorsNameTheWholePath) {
  const Folder folder(folder_);
  EXPECT_THAT(user_error_of([&] { (void)folder.read("c", 100); }),
              AllOf(HasSubstr((folder_ / "c").string()), HasSubstr("No such")));
  EXPECT_THAT(user_error_of([&] { (void)folder.read("a", 2); }), HasSubstr("larger than the 2 bytes"));
  fs::create_directory(folder_ / "d");
  EXPECT_THAT(user_error_of([&] { (void)folder.map("d"); }), HasSubstr("a folder"));
  ASSERT_EQ(mkfifo((folder_ / "p").c_str(), 0600), 0);
  EXPECT_THAT(user_error_of([&] { (void)folder.map("p"); }), HasSubstr("a pipe")) << "and does not wait for a writer";
  EXPECT_THAT(user_error_of([&] { (void)folder.read(std::string("a\0b", 3), 100); }), HasSubstr("NUL"));
  EXPECT_THAT(user_error_of([&] { Folder missing(directory_.path() / "none"); }), HasSubstr("none"));
}

TEST_F(FolderTest, ReadingAFolderThatWasReplacedIsTriedAgain) {
  int tries = 0;
  retry_while_replaced(folder_, [&] {
    if (++tries == 3) return;
    fs::remove_all(folder_);
    fs::create_directory(folder_);
    throw user_error("half read");
  });
  EXPECT_EQ(tries, 3);
}

TEST_F(FolderTest, AnErrorAboutAFolderThatStaysIsPassedOn) {
  int tries = 0;
  const auto read = [&] {
    ++tries;
    throw user_error("damaged");
  };
  EXPECT_EQ(user_error_of([&] { retry_while_replaced(folder_, read); }), "damaged");
  EXPECT_EQ(tries, 1);
  EXPECT_EQ(user_error_of([&] { retry_while_replaced(directory_.path() / "none", read); }), "damaged");
  EXPECT_EQ(tries, 4) << "the moment between two renames of a writer is waited for";
}

TEST(Paths, TellWhatStandsThere) {
  const test_support::TemporaryDirectory directory;
  write_all(directory.path() / "file", "");
  fs::create_symlink("file", directory.path() / "link");
  fs::create_symlink("nowhere", directory.path() / "dangling");
  EXPECT_EQ(kind_of_path(directory.path()), PathKind::kFolder);
  EXPECT_EQ(kind_of_path(directory.path() / "link"), PathKind::kFile);
  EXPECT_EQ(kind_of_path("/dev/null"), PathKind::kOther);
  for (const char* name : {"none", "file/below", "dangling"}) EXPECT_FALSE(path_exists(directory.path() / name)) << name;
  EXPECT_TRUE(is_name_taken(directory.path() / "dangling"));
  EXPECT_FALSE(is_name_taken(directory.path() / "none"));
}

TEST(Paths, SayWhyTheyCannotTell) {
  const test_support::TemporaryDirectory directory;
  fs::create_symlink("loop", directory.path() / "loop");
  const auto error_of = [&](const fs::path& path) { return user_error_of([&] { (void)path_exists(path); }); };
  EXPECT_THAT(error_of(directory.path() / "loop"), AllOf(HasSubstr("loop"), HasSubstr("symbolic link")));
  EXPECT_THAT(error_of(directory.path() / std::string(300, 'x')), HasSubstr("choose a shorter name"));
  EXPECT_THAT(error_of(directory.path() / "none" / std::string(300, 'x')), HasSubstr("choose a shorter name"));
  EXPECT_THAT(error_of(directory.path() / std::string("a\0b", 3)), HasSubstr("holds a NUL"));
}

}  // namespace
}  // namespace virgil
