#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "train/training_run_fixture.h"
#include "virgil/base/progress.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class TrainingRunStop : public test_support::TrainingRunFixture {};

/// Asks for a stop at one of the questions, or never; keeps what a stop would have led to then.
class StoppingMonitor final : public ProgressMonitor {
 public:
  explicit StoppingMonitor(std::int64_t stop_at) : stop_at_(stop_at) {}
  bool stop_requested() override {
    ++num_questions;
    if (stop_at_ > 0 && num_questions == stop_at_) outcome_at_stop = outcome_;
    return stop_at_ > 0 && num_questions >= stop_at_;
  }
  void report(const PhaseProgress& progress) override {
    if (phases.empty() || phases.back() != progress.name) phases.emplace_back(progress.name);
  }
  void foresee_stop(std::string_view, std::string_view outcome, bool) override { outcome_ = outcome; }

  std::int64_t num_questions = 0;
  std::string outcome_at_stop;
  std::vector<std::string> phases;

 private:
  std::int64_t stop_at_;
  std::string outcome_;
};

TEST_F(TrainingRunStop, StopsInEveryPhaseAndOverwritesNothingBeforeTheFirstStep) {
  ASSERT_EQ(run({"--sample_interval=0"}), RunStatus::kFinished);
  const auto before = tree();
  const auto stopped_at = [&](StoppingMonitor& monitor) {
    sink_ = {};
    return run_training(command_line({"--overwrite", "--sample_interval=0", "--seed=5", "--tokenizer=bpe:270"}), files_, sink_,
                        monitor, *group_);
  };
  bool was_early = true;
  for (std::int64_t at = 1; was_early; ++at) {
    StoppingMonitor monitor(at);
    ASSERT_EQ(stopped_at(monitor), RunStatus::kInterrupted) << at;
    was_early = monitor.outcome_at_stop.find("nothing to keep") != std::string::npos;
    if (!was_early) {
      EXPECT_THAT(monitor.phases, testing::IsSupersetOf({"reading", "training the vocabulary", "tokenizing", "evaluating"}));
      // How often work is timed before the first step, and so how many questions precede it, depends on the machine: this stop
      // may come a step later.
      ASSERT_EQ(checkpoints().size(), 1U);
      const long long step = std::stoll(checkpoints().front().substr(std::string("step-").size()));
      EXPECT_GE(step, 1);
      EXPECT_THAT(sink_.lines, Contains(HasSubstr("stopped at step " + std::to_string(step))));
      break;
    }
    EXPECT_EQ(tree(), before) << at;
    EXPECT_THAT(sink_.lines.back(), HasSubstr("none was overwritten"));
  }
}

TEST_F(TrainingRunStop, LeavesNoFolderWhenItIsStoppedBeforeTheFirstStep) {
  const auto before = tree();
  bool evaluated = false;
  for (std::int64_t at = 1; !evaluated; ++at) {
    StoppingMonitor monitor(at);
    ASSERT_EQ(run_training(command_line({}), files_, sink_, monitor, *group_), RunStatus::kInterrupted) << at;
    evaluated = std::ranges::find(monitor.phases, "evaluating") != monitor.phases.end();
    EXPECT_EQ(tree(), before) << at;
  }
}

/// Plays a process that is ended in the first evaluation: does what is done before that, and looks at what is left.
class AbandoningMonitor final : public ProgressMonitor {
 public:
  explicit AbandoningMonitor(std::function<void()> look) : look_(std::move(look)) {}
  void report(const PhaseProgress& progress) override {
    if (looked || progress.name != "evaluating") return;
    looked = true;
    EXPECT_TRUE(abandonable_);
    ASSERT_TRUE(clean_up_);
    clean_up_();
    look_();
  }
  void foresee_stop(std::string_view, std::string_view, bool abandonable) override { abandonable_ = abandonable; }
  void on_abandon(std::function<void()> clean_up) override { clean_up_ = std::move(clean_up); }
  [[nodiscard]] bool will_clean_up() const { return clean_up_ != nullptr; }

  bool looked = false;

 private:
  std::function<void()> look_;
  std::function<void()> clean_up_;
  bool abandonable_ = false;
};

TEST_F(TrainingRunStop, LeavesNoFolderWhenItIsAbandonedInTheFirstEvaluation) {
  const auto before = tree();
  AbandoningMonitor monitor([&] { EXPECT_EQ(tree(), before); });
  EXPECT_EQ(run_training(command_line({}), files_, sink_, monitor, *group_), RunStatus::kFinished);
  EXPECT_TRUE(monitor.looked);
  EXPECT_FALSE(monitor.will_clean_up()) << "the run is over";
  EXPECT_THAT(checkpoints(), ElementsAre("step-00000008")) << "a run that goes on all the same makes its folder again";
}

TEST_F(TrainingRunStop, MakesUpForTheLastEvaluationThatWasStopped) {
  ASSERT_EQ(run({"--sample_interval=0"}), RunStatus::kFinished);
  const std::vector<EvalMetrics> whole = sink_.evaluations;
  bool in_last = false;
  const auto stop = [&] {
    in_last = in_last || sink_.steps.size() == 8;
    return in_last;
  };
  sink_ = {};
  ASSERT_EQ(run_training(command_line({"--overwrite", "--sample_interval=0"}), files_, sink_, stop), RunStatus::kInterrupted);
  EXPECT_THAT(checkpoints(), ElementsAre("step-00000008"));
  EXPECT_EQ(sink_.evaluations.size() + 1, whole.size());
  ASSERT_EQ(run({"--resume"}), RunStatus::kFinished);
  ASSERT_EQ(sink_.evaluations.size(), 1U);
  EXPECT_EQ(sink_.evaluations.back().loss, whole.back().loss);
  ASSERT_EQ(run({"--resume"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.evaluations, IsEmpty()) << "once";
}

}  // namespace
}  // namespace virgil
