#include "virgil/train/run_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "virgil/base/file_system.h"
#include "virgil/format/event_file.h"

namespace virgil {
namespace {

using Json = nlohmann::json;
using test_support::read_all;
using test_support::write_all;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

StepMetrics step_of_loss(std::int64_t step, double loss) {
  StepMetrics metrics;
  metrics.step = step;
  metrics.loss = loss;
  return metrics;
}

class RunRecords : public testing::Test {
 protected:
  void train(RunRecord& record, std::int64_t first, std::int64_t last) {
    for (std::int64_t step = first; step < last; ++step) {
      const StepMetrics metrics = step_of_loss(step, 4.0 - 0.25 * static_cast<double>(step));
      record.add_loss(metrics.loss);
      record.step(metrics);
    }
  }
  std::vector<std::string> open(RunRecord& record, std::int64_t first_step) {
    return record.open(*files_, run_, {.first_step = first_step, .started = 1700000000}, config_);
  }
  [[nodiscard]] std::vector<Json> lines() const {
    std::vector<Json> result;
    std::istringstream text(read_all(run_ / "metrics.jsonl"));
    for (std::string line; std::getline(text, line);) result.push_back(Json::parse(line));
    return result;
  }
  [[nodiscard]] std::vector<std::string> event_files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(run_)) {
      if (entry.path().filename().string().find("tfevents") != std::string::npos) names.push_back(entry.path().filename());
    }
    return names;
  }

  test_support::TemporaryDirectory directory_;
  std::filesystem::path run_ = directory_.path();
  std::unique_ptr<FileSystem> files_ = make_posix_file_system();
  TrainConfig config_;
};

TEST_F(RunRecords, WriteNothingBeforeTheyAreOpen) {
  RunRecord record;
  train(record, 0, 2);
  record.final_evaluation({.step = 2, .loss = 2});
  record.sample(2, "x");
  record.final_sample();
  record.sync();
  EXPECT_TRUE(std::filesystem::is_empty(run_));
}

TEST_F(RunRecords, EachLineIsReadableAtOnce) {
  RunRecord record;
  EXPECT_THAT(open(record, 0), IsEmpty());
  for (std::int64_t step = 0; step < 3; ++step) {
    train(record, step, step + 1);
    EXPECT_EQ(lines().size(), static_cast<std::size_t>(step) + 1);
  }
}

TEST_F(RunRecords, AResumedRunContinuesTheSmoothedLoss) {
  RunRecord whole;
  open(whole, 0);
  train(whole, 0, 8);
  const std::vector<Json> expected = lines();
  RunRecord resumed;
  EXPECT_THAT(open(resumed, 5), IsEmpty());
  train(resumed, 5, 8);
  EXPECT_EQ(lines(), expected);
}

TEST_F(RunRecords, ASampleStandsWithItsStepOrAlone) {
  RunRecord record;
  open(record, 0);
  train(record, 0, 1);
  record.sample(1, "one");
  train(record, 1, 3);
  record.sample(3, "three");
  record.final_sample();
  record.final_sample();
  ASSERT_EQ(lines().size(), 4U);
  EXPECT_FALSE(lines()[0].contains("sample"));
  EXPECT_EQ(lines()[1]["sample"], "one");
  EXPECT_FALSE(lines()[2].contains("sample"));
  EXPECT_EQ(lines()[3]["step"], 3);
  EXPECT_EQ(lines()[3]["sample"], "three");
}

TEST_F(RunRecords, OneEventFileHoldsTheWholeRun) {
  std::string whole;
  {
    RunRecord record;
    open(record, 0);
    train(record, 0, 8);
    ASSERT_THAT(event_files(), ElementsAre(event_file_name(1700000000)));
    whole = read_all(run_ / event_files()[0]);
  }
  RunRecord resumed;
  open(resumed, 5);
  train(resumed, 5, 8);
  ASSERT_THAT(event_files(), ElementsAre(event_file_name(1700000001)));
  EXPECT_EQ(read_all(run_ / event_files()[0]), whole);
}

TEST_F(RunRecords, EventFilesAreOnRequestAndOthersStay) {
  const std::string other = "events.out.tfevents.1700000000.host.1.0";
  write_all(run_ / other, "x");
  config_.tensorboard = false;
  RunRecord none;
  open(none, 0);
  EXPECT_THAT(event_files(), ElementsAre(other));
  config_.tensorboard = true;
  RunRecord one;
  open(one, 0);
  EXPECT_THAT(event_files(), testing::UnorderedElementsAre(other, event_file_name(1700000000)));
  config_.tensorboard = false;
  RunRecord later;
  EXPECT_THAT(open(later, 0), ElementsAre(HasSubstr("tensorboard is false: the event file in")));
  EXPECT_THAT(event_files(), testing::UnorderedElementsAre(other, event_file_name(1700000000)));
}

TEST_F(RunRecords, WarnOfWhatIsLost) {
  RunRecord record;
  EXPECT_THAT(open(record, 5), ElementsAre(HasSubstr("metrics.jsonl: missing")));
  write_all(run_ / "run.json", "{");
  RunRecord again;
  EXPECT_THAT(open(again, 0), ElementsAre(HasSubstr("run.json")));
}

}  // namespace
}  // namespace virgil
