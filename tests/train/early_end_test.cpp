#include "virgil/train/early_end.h"

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
  EXPECT_FALSE(ends_early(config, state)) << "0: for ever";
  for (const std::int64_t patience : {1, 2}) {
    config.patience = patience;
    EXPECT_TRUE(ends_early(config, state));
  }
  config.patience = 3;
  EXPECT_FALSE(ends_early(config, state));
  state.best_step = -1;
  EXPECT_TRUE(ends_early(config, state)) << "no loss was ever good";
  config.eval_interval = 0;
  EXPECT_FALSE(ends_early(config, state));
}

TEST(TargetLoss, EndsARunThatHasFoundIt) {
  TrainConfig config;
  config.eval_interval = 100;
  TrainingState state;
  state.last_eval_step = 500;
  state.best_step = 300;
  state.best_val_loss = 1.5;
  EXPECT_FALSE(ends_early(config, state)) << "0: there is no target";
  config.target_loss = 1.4999;
  EXPECT_FALSE(ends_early(config, state));
  config.target_loss = 1.5;
  EXPECT_EQ(early_end_of(config, state), EarlyEnd::kTargetLoss);
  EXPECT_EQ(flag_to_go_on(EarlyEnd::kTargetLoss), "--target_loss 0");
  EXPECT_THAT(describe_early_end(EarlyEnd::kTargetLoss, config), HasSubstr("target_loss of 1.5"));
  state.best_step = 0;
  EXPECT_FALSE(ends_early(config, state)) << "weights that no update has changed are nobody's best";
}

TEST(TargetLoss, NeedsEvaluations) {
  TrainConfig config;
  config.target_loss = 1.5;
  check_early_end(config, true);
  EXPECT_THAT(user_error_of([&] { check_early_end(config, false); }), HasSubstr("--target_loss 0"));
  config.eval_interval = 0;
  EXPECT_THAT(user_error_of([&] { check_early_end(config, true); }), HasSubstr("--eval_interval"));
}

TEST(Patience, NeedsEvaluations) {
  TrainConfig config;
  check_early_end(config, false);
  config.patience = 3;
  check_early_end(config, true);
  EXPECT_THAT(user_error_of([&] { check_early_end(config, false); }), HasSubstr("--val_fraction"));
  config.eval_interval = 0;
  EXPECT_THAT(user_error_of([&] { check_early_end(config, true); }), HasSubstr("--eval_interval"));
}

class TrainerEnd : public test_support::TrainerFixture {
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

TEST_F(TrainerEnd, EndsTheRunWithASampleAndACheckpoint) {
  TinyRun run(hopeless(2));
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  EXPECT_EQ(run.trainer.state().step, 9);
  EXPECT_EQ(run.checkpoints().back(), "step-00000009");
  EXPECT_EQ(run.sink.evaluations.back().step, 9);
  EXPECT_EQ(run.sink.samples.back().first, 9);
  const TrainingState saved = last_checkpoint(run).state;
  EXPECT_TRUE(ends_early(run.config, saved)) << "a resumed run knows that it is finished";
}

TEST_F(TrainerEnd, ATargetEndsTheRunAtTheEvaluationThatFindsIt) {
  TrainConfig config = this->config();
  config.target_loss = 1000;  // any loss will do, but not that of step 0
  TinyRun run(config);
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  EXPECT_EQ(run.trainer.state().step, 3);
  EXPECT_EQ(run.checkpoints().back(), "step-00000003");
  EXPECT_TRUE(ends_early(run.config, last_checkpoint(run).state)) << "a resumed run knows that it is finished";
}

TEST_F(TrainerEnd, LeavesARunAloneThatLearns) {
  TrainConfig config = this->config();
  config.patience = 1;
  TinyRun run(config);
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  EXPECT_EQ(run.trainer.state().step, config.max_iters);
}

}  // namespace
}  // namespace virgil
