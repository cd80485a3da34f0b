#include "train/resumed_schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "virgil/train/schedule_config.h"

namespace virgil {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// A run of 400 steps that decays from 6e-4 to 6e-5.
TrainConfig planned_run() {
  TrainConfig planned;
  planned.max_iters = 400;
  planned.warmup_iters = 40;
  resolve_config(planned);
  return planned;
}

struct Resumed {
  TrainConfig config;
  std::optional<ResumedRate> rate;
};

/// That run at `step` with these flags, as run_training does it.
Resumed resume(std::int64_t step, const std::vector<std::string>& arguments) {
  const TrainConfig planned = planned_run();
  const CommandLine flags = parse_train_command_line(arguments);
  CommandLine saved;
  saved.config = planned;
  saved.config.lr_decay_iters = 0;  // as it was given
  TrainConfig config = with_keys_of(saved, flags).config;
  resolve_config(config);
  keep_planned_schedule(config, planned, step, flags);
  return {config, describe_resumed_rate(config, planned, step)};
}

double rate_at(const TrainConfig& config, std::int64_t step) { return lr_schedule_of(config).at(step); }

TEST(ResumedSchedule, IsTheSameWithoutFlags) {
  const Resumed run = resume(200, {});
  EXPECT_EQ(run.config, planned_run());
  EXPECT_FALSE(run.rate);
}

TEST(ResumedSchedule, StaysAtItsLastRateWhereTheDecayHasEnded) {
  const Resumed run = resume(400, {"--max_iters", "800"});
  for (const std::int64_t step : {400, 401, 799}) EXPECT_EQ(rate_at(run.config, step), 6e-5);
  ASSERT_TRUE(run.rate);
  EXPECT_FALSE(run.rate->is_jump);
  EXPECT_THAT(run.rate->text, AllOf(HasSubstr("6e-05"), HasSubstr("--lr_decay_iters 800"), HasSubstr("from 0.000352")));
}

TEST(ResumedSchedule, DecaysAnewWhenAsked) {
  const Resumed run = resume(400, {"--max_iters", "800", "--lr_decay_iters", "800"});
  EXPECT_GT(rate_at(run.config, 400), 3e-4);
  ASSERT_TRUE(run.rate);
  EXPECT_TRUE(run.rate->is_jump);
  EXPECT_THAT(run.rate->text, AllOf(HasSubstr("after 6e-05"), HasSubstr("times as much"), HasSubstr("lr_decay_iters 800")));
  EXPECT_EQ(resume(400, {"--max_iters", "800", "--lr_decay_iters", "0"}).config, run.config) << "0 follows max_iters";
}

TEST(ResumedSchedule, DecaysAnewFromAnotherRate) {
  const Resumed run = resume(400, {"--max_iters", "800", "--learning_rate", "1e-4", "--min_lr", "1e-5"});
  EXPECT_EQ(run.config.lr_decay_iters, 800);
  EXPECT_LT(rate_at(run.config, 400), 1e-4);
  EXPECT_TRUE(run.rate);
}

TEST(ResumedSchedule, KeepsItsEndInTheMiddleOfARun) {
  const Resumed run = resume(200, {"--max_iters", "800"});
  EXPECT_EQ(run.config.lr_decay_iters, 400);
  EXPECT_EQ(rate_at(run.config, 200), rate_at(planned_run(), 200));
  ASSERT_TRUE(run.rate);
  EXPECT_THAT(run.rate->text, AllOf(HasSubstr("until step 400"), HasSubstr("--lr_decay_iters 800")));
  EXPECT_EQ(resume(200, {"--learning_rate", "1e-4"}).config.lr_decay_iters, 400);
}

TEST(ResumedSchedule, TellsThatAShorterRunEndsAboveTheLastRate) {
  const Resumed run = resume(200, {"--max_iters", "300"});
  ASSERT_TRUE(run.rate);
  EXPECT_THAT(run.rate->text, AllOf(HasSubstr("training ends at"), HasSubstr("--lr_decay_iters 300")));
}

TEST(ResumedSchedule, HasNothingToSayOfAConstantRate) {
  TrainConfig planned = planned_run();
  planned.lr_schedule = "constant";
  TrainConfig config = planned;
  config.max_iters = 800;
  keep_planned_schedule(config, planned, 400, {});
  EXPECT_FALSE(describe_resumed_rate(config, planned, 400));
  EXPECT_EQ(describe_further_rate(planned, 400, 800), "");
  EXPECT_THAT(describe_further_rate(planned_run(), 400, 800), AllOf(HasSubstr("6e-05"), HasSubstr("--lr_decay_iters 800")));
}

}  // namespace
}  // namespace virgil
