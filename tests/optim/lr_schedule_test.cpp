#include "virgil/optim/lr_schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace virgil {
namespace {

constexpr double kMax = 6e-4;
constexpr double kMin = 6e-5;
// A handful of float64 operations on numbers below 1e-3.
constexpr double kRounding = 1e-3 * 8 * 0x1.0p-53;

LrSchedule schedule(LrScheduleKind kind) {
  return {.kind = kind, .max_lr = kMax, .min_lr = kMin, .warmup_iters = 10, .decay_iters = 110, .wsd_decay_fraction = 0.2};
}

constexpr LrScheduleKind kAllKinds[] = {LrScheduleKind::kCosine, LrScheduleKind::kLinear, LrScheduleKind::kConstant,
                                        LrScheduleKind::kWsd};

TEST(LrSchedule, WarmsUpAsNanoGptDoes) {
  // nanoGPT: learning_rate * (it + 1) / (warmup_iters + 1) while it < warmup_iters.
  for (const LrScheduleKind kind : kAllKinds) {
    for (std::int64_t step = 0; step < 10; ++step) {
      EXPECT_NEAR(schedule(kind).at(step), kMax * static_cast<double>(step + 1) / 11.0, kRounding) << step;
    }
    EXPECT_NEAR(schedule(kind).at(10), kMax, kRounding);
  }
}

TEST(LrSchedule, StartsAtTheTopWithoutWarmUp) {
  for (const LrScheduleKind kind : kAllKinds) {
    LrSchedule lr = schedule(kind);
    lr.warmup_iters = 0;
    EXPECT_NEAR(lr.at(0), kMax, kRounding);
  }
}

TEST(LrSchedule, EndsAtTheBottomAndStaysThere) {
  for (const LrScheduleKind kind : {LrScheduleKind::kCosine, LrScheduleKind::kLinear, LrScheduleKind::kWsd}) {
    for (const std::int64_t step : {110, 111, 1000000}) EXPECT_EQ(schedule(kind).at(step), kMin);
    EXPECT_GT(schedule(kind).at(109), kMin);
  }
}

TEST(LrSchedule, CosineFollowsHalfAWave) {
  for (std::int64_t step = 10; step < 110; ++step) {
    const double progress = static_cast<double>(step - 10) / 100;
    const double expected = kMin + 0.5 * (1 + std::cos(std::numbers::pi * progress)) * (kMax - kMin);
    EXPECT_NEAR(schedule(LrScheduleKind::kCosine).at(step), expected, kRounding) << step;
  }
  EXPECT_NEAR(schedule(LrScheduleKind::kCosine).at(60), (kMax + kMin) / 2, kRounding);
}

TEST(LrSchedule, LinearFallsEvenly) {
  const LrSchedule lr = schedule(LrScheduleKind::kLinear);
  for (std::int64_t step = 10; step < 110; ++step) {
    EXPECT_NEAR(lr.at(step) - lr.at(step + 1), (kMax - kMin) / 100, 2 * kRounding) << step;
  }
}

TEST(LrSchedule, ConstantNeverFalls) {
  for (const std::int64_t step : {10, 60, 110, 100000}) EXPECT_EQ(schedule(LrScheduleKind::kConstant).at(step), kMax);
}

TEST(LrSchedule, WsdHoldsThenFallsInItsShareOfAllSteps) {
  const LrSchedule lr = schedule(LrScheduleKind::kWsd);
  // The last fifth of 110 steps is a decay of 22 that begins at 88.
  for (std::int64_t step = 10; step <= 88; ++step) EXPECT_NEAR(lr.at(step), kMax, kRounding) << step;
  for (std::int64_t step = 88; step < 110; ++step) {
    EXPECT_NEAR(lr.at(step) - lr.at(step + 1), (kMax - kMin) / 22, 8 * kRounding) << step;
  }
}

TEST(LrSchedule, WsdDecaysFromTheWarmUpOnWhenItsShareIsAll) {
  LrSchedule lr = schedule(LrScheduleKind::kWsd);
  lr.wsd_decay_fraction = 1;
  for (std::int64_t step = 10; step < 110; ++step) {
    EXPECT_NEAR(lr.at(step), schedule(LrScheduleKind::kLinear).at(step), 4 * kRounding) << step;
  }
}

TEST(LrSchedule, WsdWithoutADecayHoldsUntilTheEnd) {
  LrSchedule lr = schedule(LrScheduleKind::kWsd);
  lr.wsd_decay_fraction = 0;
  for (const std::int64_t step : {10, 50, 109}) EXPECT_EQ(lr.at(step), kMax);
}

}  // namespace
}  // namespace virgil
