#include "bench/spread_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace virgil::bench {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(SpreadText, TellsAShareWithItsMiddleHalf) {
  const Spread share = spread_of({0.84, 0.85, 0.86, 0.87, 0.88});
  EXPECT_EQ(share_text(share, "peak"), "86.0 % of peak (85.0 to 87.0)");
  EXPECT_EQ(share_cell(share), "    86 % ±1.0   ");
}

TEST(SpreadText, MarksAShareThatIsNotToldFromAllOfIt) {
  EXPECT_EQ(share_cell(spread_of({0.7, 0.8, 0.9, 1.0, 1.1})), "    90 % ±10.0 ~");
  EXPECT_EQ(share_cell(spread_of({0.5})), "    50 % ±0.0  ~");
  EXPECT_THAT(explain_marks(true), HasSubstr("~"));
  EXPECT_THAT(explain_marks(false), IsEmpty());
}

TEST(SpreadText, DoubtsAShareThatSpreadsWiderThanWhatItLacks) {
  EXPECT_THAT(doubt_of_share("it", spread_of({0.84, 0.85, 0.86, 0.87, 0.88}), "more"), IsEmpty());
  const std::string doubt = doubt_of_share("the share", spread_of({0.67, 0.70, 0.85, 0.88, 0.95}), "more --steps");
  EXPECT_THAT(doubt, HasSubstr("the share spreads over 18.0 points (70.0 to 88.0 %), and its median lies 15.0 from 100 %"));
  EXPECT_THAT(doubt, HasSubstr("more --steps"));
}

TEST(SpreadText, DoubtsWhatWasMeasuredOnceOrTwice) {
  EXPECT_THAT(doubt_of_share("it", spread_of({0.5}), "more --steps"), HasSubstr("it was measured once"));
  EXPECT_THAT(doubt_of_share("it", spread_of({0.5, 0.5}), "more --steps"), HasSubstr("measured twice"));
}

TEST(SpreadText, DoubtsARatioThatIsNotToldFromOne) {
  EXPECT_THAT(doubt_of_ratio("it", spread_of({1.2, 1.23, 1.25})), IsEmpty());
  EXPECT_THAT(doubt_of_ratio("it", spread_of({0.7, 0.75, 0.8})), IsEmpty());
  EXPECT_THAT(doubt_of_ratio("our rate over theirs", spread_of({0.98, 1.05, 1.2})),
              HasSubstr("our rate over theirs is 1.05 at the median of 3 rounds and 1.02 to 1.12"));
}

TEST(SpreadText, DoubtsAMachineWhosePeakMoves) {
  PeakSpread peak;
  peak.gemm_gflops = spread_of({296, 298, 300, 302, 304});
  EXPECT_THAT(doubt_of_peak(peak), IsEmpty());
  peak.gemm_gflops = spread_of({237, 245, 250, 285, 301});
  EXPECT_THAT(doubt_of_peak(peak), HasSubstr("varied by 16 % (245.0 to 285.0 GFLOP/s)"));
}

TEST(SpreadText, JsonHasTheOrderStatistics) {
  const nlohmann::json json = spread_json(spread_of({1, 2, 3, 4, 5}));
  EXPECT_EQ(json["count"], 5);
  EXPECT_EQ(json["median"], 3);
  EXPECT_EQ(json["lower"], 2);
  EXPECT_EQ(json["upper"], 4);
  EXPECT_EQ(json["min"], 1);
  EXPECT_EQ(json["max"], 5);
}

}  // namespace
}  // namespace virgil::bench
