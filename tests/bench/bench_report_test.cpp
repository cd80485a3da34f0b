#include "bench/bench_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace virgil::bench {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

OpTiming op(const char* phase, const char* name, OpCost cost, std::int64_t calls, double ms, const Spread& share) {
  return {.label = {.phase = phase, .name = name, .shape = "m=8 n=8 k=8", .family = "matmul"},
          .cost = cost,
          .calls = calls,
          .ms = ms,
          .floor_share = share};
}

/// A quiet machine of 100 GFLOP/s and 10 GB/s; a fifth of the step is the update's.
BenchResult result() {
  const Spread share = spread_of({0.79, 0.8, 0.81});
  BenchResult result;
  result.device = "cpu: 2 threads";
  result.peak.gemm_gflops_by_dtype["float32"] = spread_of({99, 100, 101});
  result.peak.gemm_gflops = spread_of({99, 100, 101});
  result.peak.bandwidth_gb_per_s = spread_of({9, 10, 11});
  result.step = {.ms = spread_of({990, 1000, 1010}), .tokens = 3000, .model_gflop = 80, .peak_share = share};
  result.step.by_family_ms = {{"matmul", 800}, {"optimizer", 200}};
  result.step.ops = {op(kStepPhase, "matmul", {.flops = 8e9, .bytes = 0}, 8, 100, share),
                     op(kUpdatePhase, "matmul", {.flops = 2e9, .bytes = 0}, 2, 50, spread_of({0.2, 0.7, 0.9})),
                     op(kUpdatePhase, "matmul", {.flops = 6e9, .bytes = 0}, 1, 60, share),
                     op(kUpdatePhase, "scaled_sum", {.flops = 0, .bytes = 0.1e9}, 2, 20, share)};
  result.planned_bytes = result.resident_growth_bytes = 1 << 20;
  return result;
}

TEST(BenchReport, TellsMediansWithTheirMiddleHalves) {
  const std::string text = text_report(result(), false);
  EXPECT_THAT(text, HasSubstr("peak     100.0 GFLOP/s (99.5 to 100.5) in float32 matrix products"));
  EXPECT_THAT(text,
              HasSubstr("step     1000.0 ms (995.0 to 1005.0), 3000 tokens/s, 80.0 GFLOP/s in float32, 80.0 % of peak (79.5 to "
                        "80.5)\n         medians (and middle halves) of 3 steps in turns with 3 slices of the peak\n"));
  EXPECT_THAT(text, Not(HasSubstr("warning")));
}

TEST(BenchReport, TellsWhatTheUpdateCosts) {
  // 160 ms for 10 GFLOP: 62.5 GFLOP/s; 40 ms for 0.2 GB: 5 GB/s.
  EXPECT_THAT(text_report(result(), false), HasSubstr("update   200.00 ms, 20.0 % of a step\n"
                                                      "         matmul              160.00 ms   16.0 %     62.5 GFLOP/s\n"
                                                      "         scaled_sum           40.00 ms    4.0 %      5.0 GB/s\n"));
  const nlohmann::json update = nlohmann::json::parse(json_report(result()))["step"]["update"];
  EXPECT_DOUBLE_EQ(update["ms"], 200);
  EXPECT_DOUBLE_EQ(update["share"], 0.2);
  ASSERT_THAT(update["ops"], SizeIs(2));
  EXPECT_EQ(update["ops"][0]["name"], "matmul");
  EXPECT_DOUBLE_EQ(update["ops"][0]["flops"], 10e9);
}

TEST(BenchReport, TableHasTheUpdatesOpsApart) {
  const std::string text = text_report(result(), true);
  const auto heading = text.find("\n  of the update\n");
  ASSERT_NE(heading, text.npos);
  EXPECT_LT(text.find("\n  matmul"), heading);
  EXPECT_NE(text.find("\n  matmul", heading), text.npos);
  EXPECT_NE(text.find("\n  scaled_sum", heading), text.npos);
  EXPECT_THAT(text, HasSubstr("    70 % ±17.5 ~"));
  EXPECT_THAT(text, HasSubstr("  ~ a share that this run does not tell from 100 %"));
}

TEST(BenchReport, WarnsWhereTheSpreadIsWiderThanTheDifference) {
  BenchResult noisy = result();
  EXPECT_THAT(doubts_of(noisy), IsEmpty());
  noisy.step.peak_share = spread_of({0.67, 0.7, 0.85, 0.88, 0.95});
  noisy.peak.gemm_gflops = spread_of({237, 245, 250, 285, 301});
  noisy.torch = TorchComparison{.ours = 105, .torch = 100, .torch_version = "2.15", .ratio = spread_of({0.98, 1.05, 1.2})};
  noisy.generation =
      GenerationResult{.num_tokens = 200, .ms_per_token = 2, .weight_bytes = 1e6, .floor_share = spread_of({0.5})};
  EXPECT_THAT(doubts_of(noisy), SizeIs(4));
  const std::string text = text_report(noisy, false);
  EXPECT_THAT(text, HasSubstr("warning  the machine was not quiet"));
  EXPECT_THAT(text, HasSubstr("warning  the step's share of the peak spreads"));
  EXPECT_THAT(text, HasSubstr("warning  our rate over PyTorch's is 1.05"));
  EXPECT_THAT(nlohmann::json::parse(json_report(noisy))["warnings"], SizeIs(4));
}

TEST(BenchReport, JsonHasSpreadsBesideMedians) {
  const nlohmann::json json = nlohmann::json::parse(json_report(result()));
  EXPECT_DOUBLE_EQ(json["gemm_peak_gflops"]["float32"], 100);
  EXPECT_DOUBLE_EQ(json["gemm_peak_spread"]["float32"]["upper"], 100.5);
  EXPECT_DOUBLE_EQ(json["bandwidth_spread"]["lower"], 9.5);
  EXPECT_DOUBLE_EQ(json["step"]["mfu"], 0.8);
  EXPECT_DOUBLE_EQ(json["step"]["mfu_spread"]["lower"], 0.795);
  EXPECT_DOUBLE_EQ(json["step"]["ms_spread"]["max"], 1010);
  EXPECT_DOUBLE_EQ(json["ops"][0]["floor_share"]["median"], 0.8);
  EXPECT_DOUBLE_EQ(json["ops"][0]["share"], 0.8);
  EXPECT_THAT(json["warnings"], IsEmpty());
}

}  // namespace
}  // namespace virgil::bench
