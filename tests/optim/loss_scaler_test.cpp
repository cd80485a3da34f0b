#include "virgil/optim/loss_scaler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "support/user_error.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

using testing::ElementsAre;

constexpr LossScalerOptions kSmall{.initial_scale = 8, .growth_interval = 3, .min_scale = 2, .max_scale = 16};

/// The scale before each step, and after the last.
std::vector<double> scales(LossScaler& scaler, const std::vector<bool>& finite) {
  std::vector<double> result;
  for (const bool step : finite) {
    result.push_back(scaler.scale());
    scaler.update(step);
  }
  result.push_back(scaler.scale());
  return result;
}

TEST(LossScaler, StartsAt65536AndDoublesAfter2000GoodSteps) {
  LossScaler scaler;
  for (int i = 0; i < 1999; ++i) scaler.update(true);
  EXPECT_EQ(scaler.state(), (LossScalerState{65536, 1999}));
  scaler.update(true);
  EXPECT_EQ(scaler.state(), (LossScalerState{131072, 0}));
}

TEST(LossScaler, HalvesAtAnOverflowAndCountsAnew) {
  LossScaler scaler(kSmall);
  EXPECT_THAT(scales(scaler, {true, true, false, true, true, true, true}), ElementsAre(8, 8, 8, 4, 4, 4, 8, 8));
  EXPECT_EQ(scaler.state().good_steps, 1);
}

TEST(LossScaler, StaysWithinItsBounds) {
  LossScaler scaler(kSmall);
  EXPECT_THAT(scales(scaler, {false, false, false, false}), ElementsAre(8, 4, 2, 2, 2));
  EXPECT_TRUE(scaler.is_at_minimum());
  EXPECT_THAT(scales(scaler, std::vector<bool>(12, true)), ElementsAre(2, 2, 2, 4, 4, 4, 8, 8, 8, 16, 16, 16, 16));
  EXPECT_FALSE(scaler.is_at_minimum());
}

TEST(LossScaler, GoesOnFromItsState) {
  LossScaler scaler(kSmall);
  (void)scales(scaler, {false, true, true});
  LossScaler other(kSmall);
  other.restore(scaler.state());
  EXPECT_EQ(scales(other, {true, false}), scales(scaler, {true, false}));
}

TEST(LossScaler, RefusesAStateThatIsNone) {
  LossScaler scaler(kSmall);
  for (const double scale :
       {0.0, -4.0, 3.0, 1.0, 32.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THAT(test_support::user_error_of([&] { scaler.restore({scale, 0}); }), testing::HasSubstr("power of two"));
  }
  EXPECT_THROW(scaler.restore({4, 3}), UserError);
  EXPECT_THROW(scaler.restore({4, -1}), UserError);
  EXPECT_EQ(scaler.state(), (LossScalerState{8, 0}));
}

TEST(LossScaler, RefusesBoundsThatAreNone) {
  EXPECT_THROW(LossScaler({.initial_scale = 3}), InternalError);
  EXPECT_THROW(LossScaler({.initial_scale = 1, .min_scale = 2}), InternalError);
  EXPECT_THROW(LossScaler({.growth_interval = 0}), InternalError);
}

}  // namespace
}  // namespace virgil
