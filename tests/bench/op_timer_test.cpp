#include "bench/op_timer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace virgil::bench {
namespace {

using testing::ElementsAre;
using testing::Pair;
using testing::SizeIs;

const OpLabel kModelProduct = {.phase = kStepPhase, .name = "matmul", .shape = "m=2 n=2 k=2", .family = "matmul"};
const OpLabel kUpdateProduct = {.phase = kUpdatePhase, .name = "matmul", .shape = "m=2 n=2 k=2", .family = "matmul"};
const OpLabel kSum = {.phase = kUpdatePhase, .name = "scaled_sum", .shape = "(2, 2)", .family = "optimizer"};

/// GFLOP/s are 10^6 a millisecond.
MachinePeak peak_of(double gflops) {
  return {.gemm_gflops_by_dtype = {{"float32", gflops}}, .gemm_gflops = gflops, .bandwidth_gb_per_s = 1};
}

TEST(OpTimer, KeepsTheUpdatesProductsApartFromTheModels) {
  OpTimer timer;
  timer.begin_round();
  timer.add(kModelProduct, {.flops = 8e6, .bytes = 0}, 10);
  timer.add(kUpdateProduct, {.flops = 8e6, .bytes = 0}, 1);
  timer.add(kUpdateProduct, {.flops = 8e6, .bytes = 0}, 3);
  timer.add(kSum, {.flops = 0, .bytes = 100}, 5);
  const std::vector<OpTiming> timings = timer.timings();
  ASSERT_THAT(timings, SizeIs(3));
  EXPECT_EQ(timings[0].label.phase, kStepPhase);
  EXPECT_EQ(timings[1].label.name, "scaled_sum");
  EXPECT_EQ(timings[2].label.phase, kUpdatePhase);
  EXPECT_EQ(timings[2].calls, 2);
  EXPECT_DOUBLE_EQ(timings[2].ms, 2);
  EXPECT_DOUBLE_EQ(timings[2].total_ms(), 4);
  EXPECT_THAT(timer.ms_by_family(), ElementsAre(Pair("matmul", 10), Pair("optimizer", 9)));
}

TEST(OpTimer, HoldsEachRoundAgainstItsOwnPeak) {
  OpTimer timer;
  // A machine that is half as fast in the second round, and an op that is bound by it: the shares do not move.
  for (const double ms : {10.0, 20.0, 10.0}) {
    timer.begin_round();
    timer.add(kModelProduct, {.flops = 800e6, .bytes = 0}, ms);
  }
  const std::vector<MachinePeak> peaks = {peak_of(100), peak_of(50), peak_of(100)};
  const OpTiming timing = timer.timings(peaks).at(0);
  EXPECT_DOUBLE_EQ(timing.floor_share.median, 0.8);
  EXPECT_DOUBLE_EQ(timing.floor_share.width(), 0);
  EXPECT_EQ(timing.floor_share.count, 3);
  EXPECT_DOUBLE_EQ(timing.ms, 10);
}

TEST(OpTimer, SkipsRoundsInWhichAnOpDidNotRun) {
  OpTimer timer;
  timer.begin_round();
  timer.begin_round();
  timer.add(kModelProduct, {.flops = 100e6, .bytes = 0}, 4);
  const std::vector<MachinePeak> peaks = {peak_of(100), peak_of(50)};
  const OpTiming timing = timer.timings(peaks).at(0);
  EXPECT_EQ(timing.floor_share.count, 1);
  EXPECT_DOUBLE_EQ(timing.floor_share.median, 0.5) << "of the second round's peak";
}

}  // namespace
}  // namespace virgil::bench
