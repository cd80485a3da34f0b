#include "virgil/train/run_sessions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "virgil/base/error.h"
#include "virgil/base/file_system.h"

namespace virgil {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class RunSessions : public testing::Test {
 protected:
  RunSession session(std::int64_t first_step) {
    RunSession session = begin_session("train");
    session.first_step = first_step;
    session.device = "cpu";
    session.peak_gflops = 12.5;
    session.parameters = 1000;
    session.planned_by_category[MemoryCategory::kWeights] = 4000;
    session.process_before_bytes = 77;
    return session;
  }
  std::string add(std::int64_t first_step) { return add_run_session(*files_, run_, session(first_step)); }
  std::vector<std::int64_t> first_steps() {
    std::vector<std::int64_t> steps;
    for (const RunSession& each : read_run_sessions(run_)) steps.push_back(each.first_step);
    return steps;
  }

  test_support::TemporaryDirectory directory_;
  std::filesystem::path run_ = directory_.path();
  std::unique_ptr<FileSystem> files_ = make_posix_file_system();
};

TEST_F(RunSessions, AreReadAsTheyWereWritten) {
  EXPECT_TRUE(read_run_sessions(run_).empty());
  const RunSession written = session(0);
  EXPECT_EQ(add_run_session(*files_, run_, written), "");
  EXPECT_THAT(read_run_sessions(run_), ElementsAre(written));
  EXPECT_THAT(written.program, testing::StartsWith("train, Virgil "));
  EXPECT_FALSE(written.host.empty());
  EXPECT_GT(written.started, 1.7e9);
}

TEST_F(RunSessions, WhoseStepsCameAgainAreDropped) {
  for (const std::int64_t step : {0, 10, 20, 10}) EXPECT_EQ(add(step), "");
  EXPECT_THAT(first_steps(), ElementsAre(0, 10));
  EXPECT_EQ(add(0), "");
  EXPECT_THAT(first_steps(), ElementsAre(0));
}

TEST_F(RunSessions, OfADamagedFileAreToldAndReplaced) {
  for (const char* damaged : {"", "{", "[]", R"({"format": 2, "sessions": []})", R"({"format": 1, "sessions": [{}]})",
                              R"({"format": 1, "sessions": 3})"}) {
    test_support::write_all(run_sessions_path(run_), damaged);
    EXPECT_THROW(static_cast<void>(read_run_sessions(run_)), UserError) << damaged;
    EXPECT_THAT(add(5), HasSubstr("run.json")) << damaged;
    EXPECT_THAT(first_steps(), ElementsAre(5));
  }
}

TEST_F(RunSessions, BeyondAnyMachineAreDamage) {
  add(0);
  std::string text = test_support::read_all(run_sessions_path(run_));
  const std::size_t place = text.rfind("4000");
  for (const char* number : {"-4000", "9000000000000000000", "1e300"}) {
    test_support::write_all(run_sessions_path(run_), std::string(text).replace(place, 4, number));
    EXPECT_THROW(static_cast<void>(read_run_sessions(run_)), UserError) << number;
  }
}

}  // namespace
}  // namespace virgil
