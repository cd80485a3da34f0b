#include "virgil/train/patience.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>

#include "support/user_error.h"
#include "train/trainer_fixture.h"

namespace virgil {
namespace {

using test_support::TinyRun;
using test_support::user_error_of;
using testing::HasSubstr;

TEST(Patience, CountsEvaluationsSinceTheBest) {
  TrainConfig config;
  config.eval_interval = 100;
  TrainingState state;
  state.last_eval_step = 500;
  state.best_step = 300;
  EXPECT_FALSE(patience_is_over(config, state)) << "0: for ever";
  for (const std::int64_t patience : {1, 2}) {
    config.patience = patience;
    EXPECT_TRUE(patience_is_over(config, state));
  }
  config.patience = 3;
  EXPECT_FALSE(patience_is_over(config, state));
  state.best_step = -1;
  EXPECT_TRUE(patience_is_over(config, state)) << "no loss was ever good";
  config.eval_interval = 0;
  EXPECT_FALSE(patience_is_over(config, state));
}

TEST(Patience, NeedsEvaluations) {
  TrainConfig config;
  check_patience(config, false);
  config.patience = 3;
  check_patience(config, true);
  EXPECT_THAT(user_error_of([&] { check_patience(config, false); }), HasSubstr("--val_fraction"));
  config.eval_interval = 0;
  EXPECT_THAT(user_error_of([&] { check_patience(config, true); }), HasSubstr("--eval_interval"));
}

class TrainerPatience : public test_support::TrainerFixture {
 protected:
  /// The first evaluation after step 0 is the best, as weights hardly change; they come every 3 steps.
  [[nodiscard]] TrainConfig hopeless(std::int64_t patience) const {
    TrainConfig result = config();
    result.learning_rate = result.min_lr = 1e-30;
    result.max_iters = 20;
    result.patience = patience;
    return result;
  }
};

TEST_F(TrainerPatience, EndsTheRunWithASampleAndACheckpoint) {
  TinyRun run(hopeless(2));
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  EXPECT_EQ(run.trainer.state().step, 9);
  EXPECT_EQ(run.checkpoints().back(), "step-00000009");
  EXPECT_EQ(run.sink.evaluations.back().step, 9);
  EXPECT_EQ(run.sink.samples.back().first, 9);
  const TrainingState saved = last_checkpoint(run).state;
  EXPECT_TRUE(patience_is_over(run.config, saved)) << "a resumed run knows that it is finished";
}

TEST_F(TrainerPatience, LeavesARunAloneThatLearns) {
  TrainConfig config = this->config();
  config.patience = 1;
  TinyRun run(config);
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  EXPECT_EQ(run.trainer.state().step, config.max_iters);
}

}  // namespace
}  // namespace virgil
