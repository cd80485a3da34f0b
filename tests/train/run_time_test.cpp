#include "virgil/train/run_time.h"

#include <gtest/gtest.h>

namespace virgil {
namespace {

TrainConfig thousand_steps() {
  TrainConfig config;
  config.max_iters = 1000;
  config.eval_interval = 250;
  config.sample_interval = 400;
  return config;
}

TEST(PredictRunTime, CountsWhatIsDueUntilTheEnd) {
  // Evaluations at 0, 250, 500, 750 and the end; samples at 400, 800 and the end.
  const RunTime whole = predict_run_time(thousand_steps(), 0, {.step_s = 2, .evaluation_s = 10, .sample_s = 3});
  EXPECT_EQ(whole.steps_s, 2000);
  EXPECT_EQ(whole.evaluations_s, 50);
  EXPECT_EQ(whole.samples_s, 9);
  // At 500, 750 and the end; at 800 and the end.
  const RunTime half = predict_run_time(thousand_steps(), 500, {.step_s = 2, .evaluation_s = 10, .sample_s = 3});
  EXPECT_EQ(half.steps_s, 1000);
  EXPECT_EQ(half.evaluations_s, 30);
  EXPECT_EQ(half.samples_s, 6);
  const RunTime rest = predict_run_time(thousand_steps(), 501, {.step_s = 2, .evaluation_s = 10});
  EXPECT_EQ(rest.evaluations_s, 20);
  EXPECT_EQ(rest.samples_s, 0);
  EXPECT_EQ(predict_run_time(thousand_steps(), 1000, {.step_s = 2, .evaluation_s = 10}).total_s(), 10);
}

TEST(PredictRunTime, KnowsOfIntervalsThatAreOff) {
  TrainConfig none = thousand_steps();
  none.eval_interval = none.sample_interval = 0;
  EXPECT_EQ(predict_run_time(none, 0, {.step_s = 2, .evaluation_s = 10, .sample_s = 3}).total_s(), 2000);
}

TEST(DescribeRunTime, NamesThePartsThatCount) {
  EXPECT_EQ(describe_run_time({.steps_s = 0.5}), "less than a second");
  EXPECT_EQ(describe_run_time({.steps_s = 85, .evaluations_s = 12, .samples_s = 3}),
            "about 1m40s, of which evaluations 12 %, samples 3 %");
  EXPECT_EQ(describe_run_time({.steps_s = 3 * 86400, .samples_s = 10}), "about 3 days");
  EXPECT_EQ(describe_run_time({.steps_s = 86400, .evaluations_s = 20.4 * 86400}), "about 21 days, of which evaluations 95 %");
}

}  // namespace
}  // namespace virgil
