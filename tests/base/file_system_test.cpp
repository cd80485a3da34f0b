#include "virgil/base/file_system.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <unistd.h>
#include <array>
#include <chrono>

#include <csignal>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "support/faulty_file_system.h"
#include "support/temporary_directory.h"
#include "support/user_error.h"
#include "virgil/base/error.h"
#include "virgil/base/input_file.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;
using test_support::FaultyFileSystem;
using test_support::read_all;
using test_support::TemporaryDirectory;
using test_support::user_error_of;
using ::testing::HasSubstr;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

class FileSystemTest : public ::testing::Test {
 protected:
  TemporaryDirectory directory_;
  fs::path file_ = directory_.path() / "file";
  std::unique_ptr<FileSystem> files_ = make_posix_file_system();
};

TEST_F(FileSystemTest, WritesSmallAndLargeAppendsInOrder) {
  std::string expected;
  const auto file = files_->create(file_);
  for (const std::size_t size : {1, 1000, 262143, 0, 1, 262144, 5, 1000000}) {
    const std::string piece(size, static_cast<char>('a' + size % 7));
    file->append(bytes_of(piece));
    expected += piece;
  }
  file->close_durably();
  EXPECT_EQ(read_all(file_), expected);
}

TEST_F(FileSystemTest, CreateRefusesATakenName) {
  test_support::write_all(file_, "old");
  EXPECT_THAT(user_error_of([&] { static_cast<void>(files_->create(file_)); }), HasSubstr("File exists"));
  const fs::path link = directory_.path() / "link";
  fs::create_symlink(directory_.path() / "elsewhere", link);
  EXPECT_THAT(user_error_of([&] { static_cast<void>(files_->create(link)); }), HasSubstr("File exists"));
  EXPECT_FALSE(fs::exists(directory_.path() / "elsewhere")) << "a link is not followed";
  EXPECT_EQ(read_all(file_), "old");
}

TEST_F(FileSystemTest, TemporaryNamesAreFreeAndKnownAgain) {
  const fs::path first = temporary_name(file_);
  EXPECT_EQ(first.string(), fmt::format("{}.tmp-{}", file_.string(), getpid()));
  EXPECT_EQ(name_of_temporary(first), "file");
  fs::create_symlink("nowhere", first);
  const fs::path second = temporary_name(file_);
  EXPECT_NE(second, first);
  EXPECT_EQ(name_of_temporary(second), "file");
  for (const char* name : {"file", "file.tmp-", "file.tmp-x", "file.tmp-1x", "tmp-1"})
    EXPECT_EQ(name_of_temporary(name), "") << name;
  write_file_atomically(*files_, file_, "content");
  EXPECT_EQ(read_all(file_), "content");
  EXPECT_TRUE(fs::is_symlink(first)) << "what another left is not written through";
}

TEST_F(FileSystemTest, AFileNeverTakesThePlaceOfADevice) {
  ASSERT_EQ(mkfifo(file_.c_str(), 0600), 0);
  EXPECT_THAT(user_error_of([&] { write_file_atomically(*files_, file_, "content"); }), HasSubstr("a device or a pipe"));
  EXPECT_TRUE(fs::is_fifo(file_));
  EXPECT_EQ(std::distance(fs::directory_iterator(file_.parent_path()), {}), 1) << "nothing is left beside it";
}

TEST_F(FileSystemTest, SyncKeepsTheFileOpen) {
  const auto file = files_->create(file_);
  file->append(bytes_of("a"));
  file->sync();
  EXPECT_EQ(read_all(file_), "a");
  file->append(bytes_of("b"));
  file->close_durably();
  EXPECT_EQ(read_all(file_), "ab");
}

TEST_F(FileSystemTest, PathsWithANulAreRefused) {
  const fs::path path = directory_.path() / std::string("a\0b", 3);
  EXPECT_THAT(user_error_of([&] { static_cast<void>(files_->create(path)); }), HasSubstr("holds a NUL"));
  EXPECT_THAT(user_error_of([&] { files_->create_directories(path); }), HasSubstr("holds a NUL"));
  EXPECT_THAT(user_error_of([&] { files_->remove_all(path); }), HasSubstr("holds a NUL"));
  EXPECT_THAT(user_error_of([&] { static_cast<void>(read_file(path, 10)); }), HasSubstr("holds a NUL"));
}

TEST_F(FileSystemTest, FlushShowsWholeLinesToReaders) {
  test_support::write_all(file_, "line 1\n");
  const auto file = files_->open_for_append(file_);
  file->append(bytes_of("line 2\n"));
  EXPECT_EQ(read_all(file_), "line 1\n");
  file->flush();
  EXPECT_EQ(read_all(file_), "line 1\nline 2\n");
}

TEST_F(FileSystemTest, RenameReplacesFilesAndEmptyDirectoriesOnly) {
  test_support::write_all(file_, "new");
  test_support::write_all(directory_.path() / "other", "old");
  files_->rename(file_, directory_.path() / "other");
  EXPECT_EQ(read_all(directory_.path() / "other"), "new");

  files_->create_directories(directory_.path() / "from/deep");
  files_->create_directories(directory_.path() / "to");
  files_->rename(directory_.path() / "from", directory_.path() / "to");
  EXPECT_TRUE(fs::is_directory(directory_.path() / "to/deep"));
  files_->create_directories(directory_.path() / "from");
  EXPECT_THROW(files_->rename(directory_.path() / "from", directory_.path() / "to"), UserError);
}

TEST_F(FileSystemTest, ErrorsNameThePathTheReasonAndTheRemedy) {
  const fs::path missing = directory_.path() / "missing/file";
  EXPECT_THAT(user_error_of([&] { static_cast<void>(files_->create(missing)); }),
              ::testing::AllOf(HasSubstr(missing.string()), HasSubstr("No such file"), HasSubstr("check the path")));
  EXPECT_THAT(user_error_of([&] { files_->sync_directory(missing); }), HasSubstr("No such file"));
  EXPECT_THAT(user_error_of([&] { files_->rename(missing, file_); }), HasSubstr(file_.string()));
  test_support::write_all(file_, "");
  EXPECT_THAT(user_error_of([&] { files_->create_directories(file_ / "below"); }), HasSubstr("Not a directory"));
}

TEST_F(FileSystemTest, FullDeviceIsReportedByAppendOrClose) {
  if (!fs::is_character_file("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  const auto small = files_->open_for_append("/dev/full");
  small->append(bytes_of("buffered"));
  EXPECT_THAT(user_error_of([&] { small->close_durably(); }), HasSubstr("No space left on device; free some space"));
  const auto large = files_->open_for_append("/dev/full");
  EXPECT_THAT(user_error_of([&] { large->append(bytes_of(std::string(1 << 20, 'x'))); }), HasSubstr("No space left on device"));
}

// A file-size limit makes write(2) come up short first and fail on the next call: the short write must not lose or repeat
// bytes.
TEST_F(FileSystemTest, ShortWritesKeepTheBytesThatFit) {
  constexpr rlim_t kLimit = 300000;
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit limited { kLimit, before.rlim_max };
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limited), 0);
  std::string content(400000, ' ');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>('a' + i % 26);
  const auto file = files_->create(file_);
  const std::string error = user_error_of([&] { file->append(bytes_of(content)); });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_THAT(error, HasSubstr("File too large"));
  EXPECT_EQ(read_all(file_), content.substr(0, kLimit));
}

TEST_F(FileSystemTest, RemoveAllTakesFoldersAndMissingPaths) {
  files_->create_directories(directory_.path() / "a/b");
  test_support::write_all(directory_.path() / "a/b/c", "x");
  files_->remove_all(directory_.path() / "a");
  EXPECT_FALSE(fs::exists(directory_.path() / "a"));
  EXPECT_NO_THROW(files_->remove_all(directory_.path() / "a"));
}

TEST_F(FileSystemTest, AtomicWriteKeepsTheOldFileWhenAnyCallFails) {
  constexpr std::int64_t kCalls = 5;  // create, append, close, rename, sync
  for (std::int64_t n = 0;; ++n) {
    test_support::write_all(file_, "old");
    FaultyFileSystem faulty(*files_, FaultyFileSystem::Fault::kNoSpace, n);
    if (n == kCalls) {
      EXPECT_NO_THROW(write_file_atomically(faulty, file_, "new content"));
      EXPECT_EQ(faulty.num_calls(), kCalls);
      break;
    }
    EXPECT_THAT(user_error_of([&] { write_file_atomically(faulty, file_, "new content"); }),
                HasSubstr("No space left on device"));
    EXPECT_THAT(read_all(file_), ::testing::AnyOf("old", "new content"));
    EXPECT_EQ(std::distance(fs::directory_iterator(directory_.path()), {}), 1) << "a partial file was left, call " << n;
  }
  EXPECT_EQ(read_all(file_), "new content");
}

TEST_F(FileSystemTest, AtomicWriteSurvivesAPowerCutAtAnyCall) {
  for (std::int64_t n = 0;; ++n) {
    test_support::write_all(file_, "old");
    FaultyFileSystem faulty(*files_, FaultyFileSystem::Fault::kPowerCut, n);
    write_file_atomically(faulty, file_, "new content");
    if (!faulty.failed()) break;
    EXPECT_THAT(read_all(file_), ::testing::AnyOf("old", "new content"));
  }
}

TEST_F(FileSystemTest, ReadFileReadsWholeFilesUpToTheLimit) {
  const std::string content(600000, 'x');
  test_support::write_all(file_, content);
  EXPECT_EQ(read_file(file_, 600000), content);
  EXPECT_THAT(user_error_of([&] { static_cast<void>(read_file(file_, 599999)); }), HasSubstr("larger than the 599999 bytes"));
  EXPECT_THAT(user_error_of([&] { static_cast<void>(read_file(directory_.path(), 10)); }), HasSubstr("is a folder"));
  EXPECT_THAT(user_error_of([&] { static_cast<void>(read_file(directory_.path() / "no", 10)); }), HasSubstr("No such file"));
}

TEST_F(FileSystemTest, MapsFiles) {
  test_support::write_all(file_, "mapped");
  MappedFile first(file_);
  MappedFile second(std::move(first));
  EXPECT_TRUE(first.bytes().empty());  // NOLINT(bugprone-use-after-move): the state after a move is what is tested
  MappedFile third;
  third = std::move(second);
  ASSERT_EQ(third.bytes().size(), 6U);
  EXPECT_EQ(third.bytes()[5], std::byte{'d'});

  test_support::write_all(file_, "");
  EXPECT_TRUE(MappedFile(file_).bytes().empty());
  EXPECT_THAT(user_error_of([&] { MappedFile mapped(directory_.path() / "no"); }), HasSubstr("No such file"));
  EXPECT_THAT(user_error_of([&] { MappedFile mapped(directory_.path()); }), HasSubstr("not a regular file"));
}

// Nobody writes to the pipe: what opens it the usual way would wait for ever.
TEST_F(FileSystemTest, RefusesPipesDevicesAndFoldersAtOnce) {
  const std::filesystem::path pipe = directory_.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const std::filesystem::path& path : {pipe, std::filesystem::path("/dev/zero"), directory_.path()}) {
    EXPECT_THAT(user_error_of([&] { static_cast<void>(read_file(path, 10)); }), HasSubstr("not a regular file")) << path;
    EXPECT_THAT(user_error_of([&] { MappedFile mapped(path); }), HasSubstr("not a regular file")) << path;
    EXPECT_THAT(user_error_of([&] { InputFile file(path); }), HasSubstr("not a regular file")) << path;
  }
  EXPECT_THAT(user_error_of([&] { InputFile file(pipe); }), HasSubstr("is a pipe"));
}

TEST_F(FileSystemTest, ReadsPieceByPiece) {
  test_support::write_all(file_, "0123456789");
  InputFile file(file_);
  std::array<char, 4> piece{};
  EXPECT_EQ(file.size_bytes(), 10);
  EXPECT_EQ(file.read(piece), 4U);
  EXPECT_EQ(std::string_view(piece.data(), 4), "0123");
  EXPECT_EQ(file.read(piece), 4U);
  EXPECT_EQ(file.read(piece), 2U);
  EXPECT_EQ(file.read(piece), 0U);
}

TEST_F(FileSystemTest, TellsAMappedFileThatWasWrittenFromOneThatWasReplaced) {
  test_support::write_all(file_, "mapped");
  const MappedFile mapped(file_);
  EXPECT_FALSE(mapped.was_written());
  std::filesystem::last_write_time(file_, std::filesystem::last_write_time(file_) + std::chrono::seconds(5));
  EXPECT_TRUE(mapped.was_written());

  const MappedFile again(file_);
  test_support::write_all(directory_.path() / "other", "something else");
  std::filesystem::rename(directory_.path() / "other", file_);
  EXPECT_FALSE(again.was_written());
  std::filesystem::remove(file_);
  EXPECT_FALSE(again.was_written());
}

TEST_F(FileSystemTest, NamesAMappedFileThatIsCutWhileItIsRead) {
  const auto read_beyond_the_end = [&] {
    test_support::write_all(file_, std::string(100000, 'x'));
    { const MappedFile unmapped_before(file_); }  // its range is used again
    const MappedFile mapped(file_);
    std::filesystem::resize_file(file_, 10);
    const volatile std::byte* bytes = mapped.bytes().data();
    std::exit(bytes[90000] == std::byte{'x'} ? 0 : 1);
  };
  EXPECT_EXIT(read_beyond_the_end(), testing::ExitedWithCode(2), "error: .*file.*: was shortened while it was being read");
}

// The handler is for mapped files alone.
TEST_F(FileSystemTest, LeavesOtherBusErrorsToTheSystem) {
  test_support::write_all(file_, "mapped");
  const auto fault = [&] {
    const MappedFile mapped(file_);
    std::raise(SIGBUS);
  };
  EXPECT_DEATH(fault(), "");
}

}  // namespace
}  // namespace virgil
