#include "virgil/train/step_under_way.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace virgil {
namespace {

StepUnderWay of_eight(std::int64_t begun, std::int64_t done, double expected_s = 80) {
  return {
      .step = 3, .max_steps = 10, .micro_steps = 8, .begun = begun, .done = done, .expected_s = expected_s, .remaining_s = 500};
}

TEST(StepClock, FollowsTimeWithinOneLongMicroStep) {
  StepClock clock;
  clock.update({.step = 0, .max_steps = 10, .micro_steps = 1, .begun = 1, .expected_s = 40, .remaining_s = 400}, 1000);
  EXPECT_DOUBLE_EQ(clock.share(1000), 0);
  EXPECT_DOUBLE_EQ(clock.share(1010), 0.25);
  EXPECT_DOUBLE_EQ(clock.share(1030), 0.75);
  EXPECT_DOUBLE_EQ(clock.remaining_s(1010), 390);
  EXPECT_DOUBLE_EQ(clock.remaining_s(2000), 0);
}

TEST(StepClock, NeitherEndsNorStopsWhereAStepTakesLongerThanExpected) {
  StepClock clock;
  clock.update({.step = 0, .micro_steps = 1, .begun = 1, .expected_s = 40}, 0);
  double before = 0;
  for (double now = 1; now < 200; now += 1) {
    EXPECT_GT(clock.share(now), before) << now;
    before = clock.share(now);
  }
  EXPECT_LT(clock.share(1e9), 1);
}

TEST(StepClock, KeepsWithinTheMicroStepsThatAreKnown) {
  StepClock clock;
  clock.update(of_eight(1, 0), 0);
  EXPECT_LE(clock.share(1000), 1 / 8.0) << "the second is not begun";
  EXPECT_EQ(clock.micro_step(1000), 1);
  clock.update(of_eight(2, 1), 4);  // in 4 of the 10 seconds expected
  EXPECT_DOUBLE_EQ(clock.share(4), 1 / 8.0);
  EXPECT_DOUBLE_EQ(clock.share(6), 1.5 / 8) << "this step's own micro-steps tell its pace";
  EXPECT_EQ(clock.micro_step(6), 2);
  clock.update(of_eight(8, 7), 28);
  EXPECT_EQ(clock.micro_step(1e9), 8);
  EXPECT_LT(clock.share(1e9), 1);
  EXPECT_DOUBLE_EQ(clock.remaining_s(28), 472);
}

TEST(StepClock, GoesByTimeWhereADeviceWorksBehindTheHost) {
  StepClock clock;
  for (std::int64_t begun = 1; begun <= 8; ++begun) clock.update(of_eight(begun, 0), 0.001 * static_cast<double>(begun));
  EXPECT_NEAR(clock.share(20), 0.25, 1e-3);
  EXPECT_EQ(clock.micro_step(21), 3);
  EXPECT_NEAR(clock.share(60), 0.75, 1e-3);
}

TEST(StepClock, NeverFallsAndBeginsAnewWithEachStep) {
  StepClock clock;
  double before = 0;
  double now = 0;
  for (std::int64_t done = 0; done < 8; ++done) {
    clock.update(of_eight(done + 1, done, 2), now);
    for (int i = 0; i < 20; ++i, now += 0.1 * static_cast<double>(1 + done % 3)) {
      EXPECT_GE(clock.share(now), before) << done << ", " << i;
      before = clock.share(now);
    }
  }
  StepUnderWay next = of_eight(1, 0);
  next.step = 4;
  clock.update(next, now);
  EXPECT_DOUBLE_EQ(clock.share(now), 0);
  EXPECT_DOUBLE_EQ(clock.elapsed_s(now + 2), 2);
}

TEST(StepClock, StandsStillWhereNothingIsKnown) {
  StepClock clock;
  clock.update(of_eight(1, 0, 0), 0);
  EXPECT_DOUBLE_EQ(clock.share(100), 0);
  clock.update({.step = 3, .micro_steps = 8, .begun = 2, .done = 1}, 100);
  EXPECT_DOUBLE_EQ(clock.share(100), 1 / 8.0);
  EXPECT_DOUBLE_EQ(clock.share(150), 1.5 / 8);
}

}  // namespace
}  // namespace virgil
