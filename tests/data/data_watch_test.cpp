#include "virgil/data/data_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "support/user_error.h"
#include "virgil/data/token_file.h"

namespace virgil {
namespace {

class DataWatchTest : public testing::Test {
 protected:
  DataWatchTest() {
    test_support::write_all(path_, std::string("\x07\x01\x08\x02\x09\x03\x0a\x04", 8));
    data_.tokens = open_token_file(path_).tokens;
    data_.fingerprint = fingerprint_of(data_.tokens);
  }
  /// Writes the same number of bytes in place, some seconds later.
  void overwrite(const std::string& bytes) {
    const auto time = std::filesystem::last_write_time(path_) + std::chrono::seconds(2);
    test_support::write_all(path_, bytes);
    std::filesystem::last_write_time(path_, time);
  }

  test_support::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "t.bin";
  TokenData data_;
};

TEST_F(DataWatchTest, NamesAFileThatWasRewritten) {
  DataWatch watch(&data_);
  watch.check();
  overwrite(std::string("\x07\x01\x08\x02\x09\x03\x0b\x04", 8));
  EXPECT_THAT(test_support::user_error_of([&] { watch.check(); }),
              testing::AllOf(testing::HasSubstr(path_.string()), testing::HasSubstr("--resume")));
}

TEST_F(DataWatchTest, LeavesAFileThatHoldsTheSame) {
  DataWatch watch(&data_);
  overwrite(std::string("\x07\x01\x08\x02\x09\x03\x0a\x04", 8));
  EXPECT_NO_THROW(watch.check());
  EXPECT_NO_THROW(watch.check());
}

TEST_F(DataWatchTest, LeavesAFileThatWasReplacedAndIdsInMemory) {
  DataWatch watch(&data_);
  test_support::write_all(directory_.path() / "new", "other tokens");
  std::filesystem::rename(directory_.path() / "new", path_);
  EXPECT_NO_THROW(watch.check());
  const TokenData memory{std::vector<std::int32_t>{1, 2}, 2, ""};
  EXPECT_NO_THROW(DataWatch(&memory).check());
  EXPECT_NO_THROW(DataWatch(nullptr).check());
}

TEST_F(DataWatchTest, AsksWhenTheTimeHasCome) {
  DataWatch watch(&data_);
  overwrite(std::string("\x07\x01\x08\x02\x09\x03\x0b\x04", 8));
  EXPECT_NO_THROW(watch.check_every(std::chrono::hours(1)));
  EXPECT_THROW(watch.check_every(std::chrono::seconds(0)), UserError);
}

}  // namespace
}  // namespace virgil
