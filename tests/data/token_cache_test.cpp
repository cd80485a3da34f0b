#include "data/token_cache.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "data/token_vectors.h"
#include "data/vocabulary.h"
#include "support/faulty_file_system.h"
#include "support/temporary_directory.h"
#include "support/user_error.h"
#include "virgil/data/token_file.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;
using test_support::FaultyFileSystem;
using test_support::to_vector;
using testing::HasSubstr;

class TokenCacheTest : public testing::Test {
 protected:
  TokenCacheTest() { write(test_support::kTercets); }

  void write(std::string_view text) { test_support::write_all(text_, text); }
  Dataset load(FileSystem& files, const std::string& tokenizer = "byte") {
    return load_dataset({.inputs = {text_.string()}, .val_fraction = 0.2, .tokenizer = tokenizer, .cache_directory = cache_},
                        files, log_);
  }
  Dataset load(const std::string& tokenizer = "byte") { return load(*files_, tokenizer); }
  [[nodiscard]] std::vector<fs::path> entries() const {
    std::vector<fs::path> found;
    if (fs::exists(cache_)) {
      for (const auto& entry : fs::directory_iterator(cache_)) found.push_back(entry.path());
    }
    return found;
  }

  test_support::TemporaryDirectory directory_;
  fs::path text_ = directory_.path() / "text.txt";
  fs::path cache_ = directory_.path() / "cache";
  std::unique_ptr<FileSystem> files_ = make_posix_file_system();
  RecordingLogger log_;
};

TEST_F(TokenCacheTest, GivesWhatTokenizingGives) {
  const Dataset direct = load_dataset({.inputs = {text_.string()}, .val_fraction = 0.2, .tokenizer = "byte"}, *files_, log_);
  const Dataset made = load();
  const Dataset found = load();
  for (const Dataset* dataset : {&made, &found}) {
    EXPECT_EQ(dataset->train.fingerprint, direct.train.fingerprint);
    EXPECT_EQ(to_vector(dataset->train.tokens), to_vector(direct.train.tokens));
    EXPECT_EQ(dataset->train.text_bytes, direct.train.text_bytes);
    EXPECT_EQ(to_vector(dataset->val->tokens), to_vector(direct.val->tokens));
    EXPECT_EQ(dataset->val->text_bytes, direct.val->text_bytes);
  }
  EXPECT_EQ(entries().size(), 1U);
  EXPECT_THAT(log_.lines(), testing::ElementsAre(HasSubstr("kept in the cache"), HasSubstr("taken from the cache")));
}

TEST_F(TokenCacheTest, IsKeyedByContentTokenizerAndSplit) {
  (void)load();
  const auto changed_at = fs::last_write_time(text_);
  std::string other = test_support::kTercets;
  other[5] = 'X';
  write(other);
  fs::last_write_time(text_, changed_at);  // same path, size and time, other content
  EXPECT_EQ(load().tokenizer->decode(to_vector(load().train.tokens)).substr(0, 9), other.substr(0, 9));
  EXPECT_EQ(entries().size(), 2U);
  (void)load("char");
  EXPECT_EQ(entries().size(), 3U);
  (void)load_dataset({.inputs = {text_.string()}, .val_fraction = 0.3, .tokenizer = "byte", .cache_directory = cache_}, *files_,
                     log_);
  EXPECT_EQ(entries().size(), 4U);
}

TEST_F(TokenCacheTest, RefusesADamagedEntry) {
  (void)load();
  const fs::path entry = entries().front();
  for (const char* name : {"train-00000.bin", "val-00000.bin", "index.json"}) {
    const std::string whole = test_support::read_all(entry / name);
    std::string damaged = whole;
    damaged[damaged.size() * 3 / 4] = static_cast<char>(damaged[damaged.size() * 3 / 4] ^ 1);
    for (const std::string& bytes : {damaged, whole.substr(0, whole.size() / 2), std::string()}) {
      test_support::write_all(entry / name, bytes);
      const std::string message = test_support::user_error_of([&] { (void)load(); });
      EXPECT_THAT(message, HasSubstr(entry.string())) << name;
      EXPECT_THAT(message, HasSubstr("delete the folder")) << name;
    }
    fs::remove(entry / name);
    EXPECT_THAT(test_support::user_error_of([&] { (void)load(); }), HasSubstr("delete the folder")) << name;
    test_support::write_all(entry / name, whole);
  }
  EXPECT_NO_THROW((void)load());
}

TEST_F(TokenCacheTest, RefusesAnIndexThatNamesFilesElsewhere) {
  (void)load();
  const fs::path index = entries().front() / "index.json";
  std::string content = test_support::read_all(index);
  const std::string name = "train-00000.bin";
  content.replace(content.find(name), name.size(), "../../text.txt");
  test_support::write_all(index, content);
  EXPECT_THAT(test_support::user_error_of([&] { (void)load(); }), HasSubstr("names no file"));
}

// A disk that fills up, or a kill, at any call: no entry is taken for whole, and the next run succeeds.
TEST_F(TokenCacheTest, LeavesNoHalfEntry) {
  FaultyFileSystem counting(*files_, FaultyFileSystem::Fault::kKill, 1000000);
  (void)load(counting);
  const std::int64_t num_calls = counting.num_calls();
  ASSERT_GT(num_calls, 8);
  for (const auto fault :
       {FaultyFileSystem::Fault::kNoSpace, FaultyFileSystem::Fault::kKill, FaultyFileSystem::Fault::kPowerCut}) {
    for (std::int64_t call = 0; call < num_calls; ++call) {
      fs::remove_all(cache_);
      FaultyFileSystem faulty(*files_, fault, call);
      try {
        (void)load(faulty);
      } catch (const UserError&) {
      }
      EXPECT_NO_THROW((void)load()) << call;
      EXPECT_EQ(entries().size(), fault == FaultyFileSystem::Fault::kNoSpace ? 1U : entries().size()) << call;
    }
  }
}

TEST_F(TokenCacheTest, RemovesLeftoversOfDeadProcesses) {
  (void)load();
  const fs::path entry = entries().front();
  const fs::path leftover = entry.string() + ".tmp-999999999";
  fs::rename(entry, leftover);
  (void)load();
  EXPECT_FALSE(fs::exists(leftover));
  EXPECT_TRUE(fs::exists(entry));
}

TEST(ShardSink, CutsLongDataIntoShards) {
  const test_support::TemporaryDirectory directory;
  const auto files = make_posix_file_system();
  const auto tokenizer = make_tokenizer("byte", "");
  ShardSink sink(*files, directory.path(), "train", *tokenizer, {.tokens = 100});
  sink.add(test_support::counting(150), 150);
  sink.add(test_support::counting(120), 120);
  EXPECT_EQ(sink.finish(), (std::vector<std::string>{"train-00000.bin", "train-00001.bin", "train-00002.bin"}));
  TokenSequence tokens;
  for (int i = 0; i < 3; ++i) tokens.append(open_token_file(directory.path() / fmt::format("train-0000{}.bin", i)).tokens);
  std::vector<std::int32_t> expected = test_support::counting(150);
  const std::vector<std::int32_t> second = test_support::counting(120);
  expected.insert(expected.end(), second.begin(), second.end());
  EXPECT_EQ(to_vector(tokens), expected);
}

}  // namespace
}  // namespace virgil
