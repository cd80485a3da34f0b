#include "command/output_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <iterator>
#include <string>

#include "support/temporary_directory.h"
#include "support/unsynced_file_system.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;
using test_support::write_all;

class OutputFolderTest : public ::testing::Test {
 protected:
  void put(const std::string& name) {
    fs::create_directories((directory_.path() / name).parent_path());
    write_all(directory_.path() / name, "x");
  }
  bool is_there(const std::string& name) { return fs::exists(directory_.path() / name); }

  test_support::TemporaryDirectory directory_;
  test_support::UnsyncedFileSystem files_;
  fs::path out_ = directory_.path() / "shards";
};

TEST_F(OutputFolderTest, AppearsWhenItIsWhole) {
  {
    OutputFolder folder(files_, out_);
    write_all(folder.partial() / "a", "x");
    EXPECT_FALSE(is_there("shards"));
    folder.finish();
  }
  EXPECT_TRUE(is_there("shards/a"));
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_.path()), {}), 1);
}

TEST_F(OutputFolderTest, LeavesNothingWhenItIsNotFinished) {
  { OutputFolder folder(files_, out_); }
  EXPECT_TRUE(fs::is_empty(directory_.path()));
}

TEST_F(OutputFolderTest, RemovesWhatKilledProcessesLeftAndNothingElse) {
  for (const char* name : {"shards.tmp-1/train/train_000000.bin", "shards.tmp-1/val/val_000000.bin.tmp-7",
                           "shards.tmp-1/tokenizer.json", "shards.tmp-3/train/notes.txt", "shards.tmp-4/mine.txt",
                           "shards.tmp-x/tokenizer.json", "other.tmp-5/tokenizer.json", "shards.tmp-6/deep/train/a.bin"}) {
    put(name);
  }
  fs::create_symlink("other.tmp-5", directory_.path() / "shards.tmp-8");
  OutputFolder running(files_, out_);  // of another process, as it were
  write_all(running.partial() / "tokenizer.json", "x");
  OutputFolder folder(files_, out_);
  EXPECT_FALSE(is_there("shards.tmp-1"));
  for (const char* name : {"shards.tmp-3/train/notes.txt", "shards.tmp-4/mine.txt", "shards.tmp-x/tokenizer.json",
                           "other.tmp-5/tokenizer.json", "shards.tmp-8/tokenizer.json", "shards.tmp-6/deep/train/a.bin"}) {
    EXPECT_TRUE(is_there(name)) << name;
  }
  EXPECT_TRUE(fs::exists(running.partial() / "tokenizer.json")) << "somebody is writing it";
  EXPECT_NE(folder.partial(), running.partial());
}

}  // namespace
}  // namespace virgil
