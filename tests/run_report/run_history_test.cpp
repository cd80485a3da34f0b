#include "virgil/run_report/run_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "support/unsynced_file_system.h"
#include "virgil/base/error.h"
#include "virgil/memory/memory_resource.h"
#include "virgil/run_report/run_digest.h"
#include "virgil/train/run_sessions.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;
using test_support::write_all;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class RunHistoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(run_);
    write_all(run_ / "run_config.json", R"({"n_layer": 2})");
  }
  RunHistory read(const std::string& metrics) {
    write_all(run_ / "metrics.jsonl", metrics);
    return read_run_history(run_);
  }
  std::string refusal(const fs::path& path) {
    try {
      (void)read_run_history(path);
    } catch (const UserError& error) {
      return error.what();
    }
    return "";
  }

  test_support::TemporaryDirectory directory_;
  fs::path run_ = directory_.path() / "run";
};

TEST_F(RunHistoryTest, ReadsStepsEvaluationsAndSamples) {
  const RunHistory run = read(
      R"({"step":0,"tokens":10,"loss":4.5,"lr":0.1,"dt_ms":500,"mem":{"planned":100,"allocated":90,"by_category":{"weights":60}},"val_loss":4.6})"
      "\n"
      R"({"step":1,"tokens":20,"loss":"nan","updated":false,"dt_ms":250,"sample":"ciao"})"
      "\n"
      R"({"step":2,"val_loss":3.5})"
      "\n"
      R"({"step":2,"sample":"nel mezzo"})"
      "\n");
  EXPECT_THAT(run.steps, ElementsAre(0, 1, 2));
  EXPECT_EQ(run.at(Figure::kLoss, 0), 4.5);
  EXPECT_TRUE(std::isnan(run.at(Figure::kLoss, 1).value()));
  EXPECT_EQ(run.at(Figure::kLoss, 2), std::nullopt);
  EXPECT_EQ(run.at(Figure::kValLoss, 2), 3.5);
  EXPECT_EQ(run.memory[0].at(0), 60);
  ASSERT_THAT(run.samples, SizeIs(2));
  EXPECT_EQ(run.samples[1].step, 2);
  EXPECT_EQ(run.samples[1].text, "nel mezzo");
  ASSERT_THAT(run.plans, SizeIs(1));
  EXPECT_EQ(run.plans[0].total_bytes, 100);
  EXPECT_THAT(run.elapsed_s, ElementsAre(0.5, 0.75, 0.75));
  EXPECT_THAT(run.problems, IsEmpty());
  EXPECT_THAT(run.config, ElementsAre(testing::Pair("n_layer", "2")));
  const RunDigest digest = digest_of(run);
  EXPECT_EQ(digest.steps, 2);
  EXPECT_EQ(digest.best_val_loss, 3.5);
  EXPECT_EQ(digest.best_step, 2);
  EXPECT_EQ(digest.non_finite_steps, 1);
  EXPECT_EQ(digest.skipped_steps, 1);
}

TEST_F(RunHistoryTest, LeavesOutAndCountsDamagedLines) {
  const std::string whole = R"({"step":3,"loss":1})";
  const std::vector<std::string> damaged = {"x",
                                            "[]",
                                            R"({"loss":1})",
                                            R"({"step":-1,"loss":1})",
                                            R"({"step":1.5,"loss":1})",
                                            R"({"step":18446744073709551615,"loss":1})",
                                            R"({"step":4,"loss":[1]})",
                                            R"({"step":4,"loss":1e999})",
                                            R"({"step":4,"loss":1,"loss":2})",
                                            R"({"step":4,"loss":"many"})",
                                            R"({"step":4,"loss":1,"mem":7})",
                                            R"({"step":4,"loss":1,"mem":{"by_category":[]}})",
                                            R"({"step":4,"sample":7})",
                                            R"({"step":4})",
                                            std::string(100'000, '['),
                                            "\xff\xfe"};
  std::string metrics = whole + "\n";
  for (const std::string& line : damaged) metrics += line + "\n";
  const RunHistory run = read(metrics + "\n\n" + R"({"step":5,"lo)");
  EXPECT_THAT(run.steps, ElementsAre(3));
  EXPECT_THAT(run.problems, ElementsAre(HasSubstr(std::to_string(damaged.size()) + " lines damaged")));
}

TEST_F(RunHistoryTest, StepsThatWereDoneAgainCountOnce) {
  const RunHistory run = read(
      "{\"step\":0,\"loss\":5}\n{\"step\":1,\"loss\":4,\"sample\":\"a\"}\n{\"step\":2,\"loss\":3}\n{\"step\":1,\"loss\":4.1}\n"
      "{\"step\":2,\"loss\":3.1}\n");
  EXPECT_THAT(run.steps, ElementsAre(0, 1, 2));
  EXPECT_EQ(run.at(Figure::kLoss, 2), 3.1);
  EXPECT_THAT(run.problems, ElementsAre(HasSubstr("2 lines of steps that were done again")));
}

TEST_F(RunHistoryTest, AHugeStepIsAStep) {
  const RunHistory run = read("{\"step\":9223372036854775807,\"loss\":1}\n{\"step\":9223372036854775807,\"loss\":2}\n");
  EXPECT_THAT(run.steps, ElementsAre(std::numeric_limits<std::int64_t>::max()));
}

TEST_F(RunHistoryTest, PausesBetweenSessionsAreNoTrainingTime) {
  RunSession session{.started = 1000, .parameters = 7};
  session.planned_by_category[MemoryCategory::kWeights] = 100;
  test_support::UnsyncedFileSystem files;
  EXPECT_EQ(add_run_session(files, run_, session), "");
  session.first_step = 2;
  session.started = 5000;
  session.planned_by_category[MemoryCategory::kWeights] = 200;
  EXPECT_EQ(add_run_session(files, run_, session), "");
  const RunHistory run = read(
      "{\"step\":0,\"loss\":5,\"time\":1003,\"dt_ms\":1000}\n{\"step\":1,\"loss\":4,\"time\":1004,\"dt_ms\":1000}\n"
      "{\"step\":2,\"loss\":3,\"time\":5002,\"dt_ms\":1000}\n{\"step\":3,\"loss\":3,\"time\":4000,\"dt_ms\":1000}\n");
  EXPECT_THAT(run.elapsed_s, ElementsAre(3, 4, 6, 7)) << "a clock that was set back counts by the step's own time";
  ASSERT_THAT(run.plans, SizeIs(2));
  EXPECT_EQ(run.plans[1].first_step, 2);
  EXPECT_EQ(run.session_of(1), &run.sessions[0]);
  EXPECT_EQ(run.session_of(3), &run.sessions[1]);
  EXPECT_EQ(digest_of(run).parameters, 7);
}

TEST_F(RunHistoryTest, DamagedFilesBesideAreToldAndLeftOut) {
  for (const std::string file :
       {"{", "[]", R"({"sessions":7})", R"({"sessions":[{"first_step":-1}]})", R"({"sessions":[{"host":7}]})"}) {
    write_all(run_ / "run.json", file);
    const RunHistory run = read("{\"step\":0,\"loss\":5}\n");
    EXPECT_THAT(run.problems, ElementsAre(HasSubstr("run.json"))) << file;
    EXPECT_THAT(run.sessions, IsEmpty());
  }
  fs::remove(run_ / "run.json");
  write_all(run_ / "run_config.json", "{");
  EXPECT_THAT(read("{\"step\":0,\"loss\":5}\n").problems, ElementsAre(HasSubstr("run_config.json")));
}

TEST_F(RunHistoryTest, RefusesWhatIsNoRunAndSaysWhatIs) {
  EXPECT_THAT(refusal(directory_.path() / "rum"), HasSubstr("did you mean"));
  EXPECT_THAT(refusal(run_), HasSubstr("has no metrics.jsonl"));
  write_all(run_ / "metrics.jsonl", "");
  EXPECT_THAT(refusal(run_), HasSubstr("holds no step yet"));
  write_all(run_ / "metrics.jsonl", "x\ny\n");
  EXPECT_THAT(refusal(run_), HasSubstr("no step that can be read"));
  EXPECT_THAT(refusal(directory_.path()), HasSubstr((run_).string()));
  fs::create_directories(run_ / "best");
  EXPECT_THAT(refusal(run_ / "best"), HasSubstr("is a part of a run"));
  EXPECT_THAT(refusal(run_ / "run_config.json"), HasSubstr("is a file"));
  EXPECT_THAT(refusal(""), HasSubstr("empty"));
}

TEST_F(RunHistoryTest, NamesTellRunsApart) {
  const auto make = [&](const std::string& name) {
    fs::create_directories(directory_.path() / name);
    write_all(directory_.path() / name / "metrics.jsonl", "{\"step\":0,\"loss\":5}\n");
    return (directory_.path() / name).string();
  };
  const std::vector<RunHistory> runs =
      read_run_histories({make("a/tiny"), make("b/tiny") + "/", make("b/small") + "/metrics.jsonl"});
  EXPECT_EQ(runs[0].name, "a/tiny");
  EXPECT_EQ(runs[1].name, "b/tiny");
  EXPECT_EQ(runs[2].name, "small");
  EXPECT_THROW((void)read_run_histories({make("a/tiny"), directory_.path() / "a" / "." / "tiny"}), UserError);
}

TEST_F(RunHistoryTest, KeepsSoManySamplesAndTheLast) {
  std::string metrics;
  for (int step = 0; step < 1000; ++step) metrics += "{\"step\":" + std::to_string(step) + ",\"loss\":1,\"sample\":\"x\"}\n";
  const RunHistory run = read(metrics);
  EXPECT_LE(run.samples.size(), 257U);
  EXPECT_EQ(run.samples.front().step, 0);
  EXPECT_EQ(run.samples.back().step, 999);
  EXPECT_EQ(run.samples_left_out + static_cast<std::int64_t>(run.samples.size()), 1000);
}

}  // namespace
}  // namespace virgil
