#include "bench/peak_rates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace virgil::bench {
namespace {

using testing::HasSubstr;

MachinePeak slice(double float32, double bfloat16, double bandwidth) {
  return {.gemm_gflops_by_dtype = {{"float32", float32}, {"bfloat16", bfloat16}},
          .gemm_gflops = float32,
          .bandwidth_gb_per_s = bandwidth};
}

TEST(PeakRates, BetweenTwoSlicesLiesTheirMean) {
  const MachinePeak mean = mean_of(slice(200, 300, 10), slice(300, 500, 30));
  EXPECT_DOUBLE_EQ(mean.gemm_gflops, 250);
  EXPECT_DOUBLE_EQ(mean.gemm_gflops_by_dtype.at("bfloat16"), 400);
  EXPECT_DOUBLE_EQ(mean.bandwidth_gb_per_s, 20);
}

TEST(PeakRates, SpreadsOverSlices) {
  const std::vector<MachinePeak> slices = {slice(240, 100, 20), slice(300, 110, 21), slice(260, 90, 22)};
  const PeakSpread spread = spread_of_slices(slices);
  EXPECT_DOUBLE_EQ(spread.gemm_gflops.median, 260);
  EXPECT_DOUBLE_EQ(spread.gemm_gflops.lower, 250);
  EXPECT_DOUBLE_EQ(spread.gemm_gflops.upper, 280);
  EXPECT_DOUBLE_EQ(spread.gemm_gflops_by_dtype.at("bfloat16").median, 100);
  EXPECT_DOUBLE_EQ(spread.medians().bandwidth_gb_per_s, 21);
  EXPECT_DOUBLE_EQ(spread.medians().gemm_gflops_by_dtype.at("float32"), 260);
}

TEST(PeakRates, AreToldWithTheirMiddleHalves) {
  const std::vector<MachinePeak> slices = {slice(240, 100, 20), slice(300, 110, 21), slice(260, 90, 22)};
  const std::string text = describe_peak(spread_of_slices(slices));
  EXPECT_THAT(text, HasSubstr("260.0 GFLOP/s (250.0 to 280.0) in float32 matrix products"));
  EXPECT_THAT(text, HasSubstr("in bfloat16 matrix products (below float32)"));
  EXPECT_THAT(text, HasSubstr("21.0 GB/s (20.5 to 21.5) of memory"));
}

}  // namespace
}  // namespace virgil::bench
