// Reading, learning a vocabulary, tokenising and hashing can be watched and stopped at every report.
#include "virgil/base/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/token_vectors.h"
#include "data/vocabulary.h"
#include "support/temporary_directory.h"
#include "virgil/data/dataset.h"
#include "virgil/data/token_sink.h"
#include "virgil/data/tokenizer.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;

/// Notes each phase's name and how it ended, and asks for a stop from the given report on.
class NotingMonitor final : public ProgressMonitor {
 public:
  explicit NotingMonitor(std::int64_t stop_at = -1) : stop_at_(stop_at) {}
  bool stop_requested() override { return stop_at_ >= 0 && num_reports >= stop_at_; }
  void report(const PhaseProgress& progress) override {
    ++num_reports;
    if (names.empty() || names.back() != progress.name) names.emplace_back(progress.name);
    complete = progress.done == progress.total;
  }
  void end_phase() override { all_complete = all_complete && complete; }

  std::vector<std::string> names;
  std::int64_t num_reports = 0;
  bool complete = false;
  bool all_complete = true;

 private:
  std::int64_t stop_at_;
};

class DataProgress : public testing::TestWithParam<const char*> {
 protected:
  DataProgress() { test_support::write_all(text_, test_support::kTercets); }

  Dataset load(NotingMonitor& monitor, const fs::path& input) {
    return load_dataset({.inputs = {input.string()},
                         .val_fraction = 0.2,
                         .tokenizer = GetParam(),
                         .cache_directory = cache_,
                         .progress = &monitor},
                        *files_, log_);
  }
  [[nodiscard]] bool cache_is_empty() const { return !fs::exists(cache_) || fs::is_empty(cache_); }

  test_support::TemporaryDirectory directory_;
  fs::path text_ = directory_.path() / "text.txt";
  fs::path cache_ = directory_.path() / "cache";
  std::unique_ptr<FileSystem> files_ = make_posix_file_system();
  RecordingLogger log_;
};

TEST_P(DataProgress, NamesEachPhaseAndCountsItToItsEnd) {
  NotingMonitor monitor;
  static_cast<void>(load(monitor, text_));
  EXPECT_TRUE(monitor.all_complete);
  EXPECT_EQ(monitor.names.front(), "reading");
  EXPECT_THAT(monitor.names, testing::IsSupersetOf({"tokenizing", "hashing the tokens"}));
  const bool learns = std::string(GetParam()) != "byte";
  EXPECT_EQ(std::ranges::count(monitor.names, "counting words and characters"), learns ? 1 : 0);
  const bool merges = std::string(GetParam()).starts_with("bpe");
  EXPECT_EQ(std::ranges::count(monitor.names, "training the vocabulary"), merges ? 1 : 0);
}

TEST_P(DataProgress, StopsAtEveryReportAndLeavesNothing) {
  NotingMonitor whole;
  static_cast<void>(load(whole, text_));
  fs::remove_all(cache_);
  for (std::int64_t at = 0; at < whole.num_reports; ++at) {
    NotingMonitor monitor(at);
    EXPECT_THROW(static_cast<void>(load(monitor, text_)), Stopped) << at;
    // A finished entry is read back, and may stay.
    const bool was_made = std::ranges::find(monitor.names, "reading the token cache") != monitor.names.end();
    EXPECT_TRUE(was_made || cache_is_empty()) << at;
    fs::remove_all(cache_);
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, DataProgress, testing::Values("byte", "char", "bpe:270"));

TEST(TokenFileProgress, StopsWhileTokenFilesAreRead) {
  const test_support::TemporaryDirectory directory;
  const auto files = make_posix_file_system();
  RecordingLogger log;
  const auto tokenizer = make_tokenizer("byte", "");
  ShardSink sink(*files, directory.path() / "tokens", "train", *tokenizer);
  sink.add(tokenizer->encode(test_support::kTercets), std::ssize(test_support::kTercets));
  ASSERT_THAT(sink.finish(), testing::SizeIs(1));

  NotingMonitor whole;
  DataRequest data{.inputs = {(directory.path() / "tokens").string()}, .tokenizer = "byte", .progress = &whole};
  static_cast<void>(load_dataset(data, *files, log));
  EXPECT_TRUE(whole.all_complete);
  EXPECT_THAT(whole.names, testing::ElementsAre("reading token files", "measuring the tokens' text", "hashing the tokens",
                                                "measuring the tokens' text", "hashing the tokens"));
  for (std::int64_t at = 0; at < whole.num_reports; ++at) {
    NotingMonitor monitor(at);
    data.progress = &monitor;
    EXPECT_THROW(static_cast<void>(load_dataset(data, *files, log)), Stopped) << at;
  }
}

}  // namespace
}  // namespace virgil
