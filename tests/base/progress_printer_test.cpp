#include "virgil/base/progress_printer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace virgil {
namespace {

using testing::ElementsAre;

class ProgressPrinterTest : public testing::Test {
 protected:
  ProgressPrinter printer(bool is_terminal) {
    ProgressOutput output;
    output.line = [this](std::string_view line) { lines_.emplace_back(line); };
    if (is_terminal) output.live = [this](std::string_view text) { live_.emplace_back(text); };
    return ProgressPrinter(output, nullptr, [this] { return now_; });
  }
  /// A phase of `seconds` that does one percent a report.
  void run(ProgressPrinter& printer, double seconds) {
    const double start = now_;
    ProgressPhase phase(&printer, "reading", "bytes", 312'000'000);
    for (int percent = 1; percent <= 100; ++percent) {
      now_ = start + percent * seconds / 100;
      phase.advance(3'120'000);
    }
  }

  double now_ = 1000;
  std::vector<std::string> lines_;
  std::vector<std::string> live_;
};

TEST_F(ProgressPrinterTest, SaysNothingOfWhatIsOverWithinTwoSeconds) {
  for (const bool is_terminal : {true, false}) {
    ProgressPrinter printer = this->printer(is_terminal);
    run(printer, 1.9);
    run(printer, 1.9);
  }
  EXPECT_TRUE(lines_.empty());
  EXPECT_TRUE(live_.empty());
}

TEST_F(ProgressPrinterTest, PrintsALineEveryTenSecondsIntoAPipe) {
  ProgressPrinter printer = this->printer(false);
  run(printer, 25);
  EXPECT_THAT(lines_, ElementsAre("reading  8 %  25.0 MB of 312.0 MB  12.5 MB/s  23s left",
                                  "reading  48 %  149.8 MB of 312.0 MB  12.5 MB/s  13s left",
                                  "reading  88 %  274.6 MB of 312.0 MB  12.5 MB/s  3s left"));
}

TEST_F(ProgressPrinterTest, KeepsALiveLineOnATerminalAndRemovesIt) {
  ProgressPrinter printer = this->printer(true);
  run(printer, 4);
  EXPECT_TRUE(lines_.empty());
  ASSERT_GE(live_.size(), 5U);
  EXPECT_LE(live_.size(), 12U);
  EXPECT_EQ(live_.front(), "reading  50 %  156.0 MB of 312.0 MB  78.0 MB/s  2s left");
  EXPECT_EQ(live_.back(), "");
}

TEST_F(ProgressPrinterTest, LeavesAllOfItToWhoShowsPhases) {
  std::vector<std::int64_t> done;
  ProgressOutput output;
  output.line = [this](std::string_view line) { lines_.emplace_back(line); };
  output.phase = [&](const PhaseProgress* phase) { done.push_back(phase != nullptr ? phase->done : -1); };
  ProgressPrinter printer(output, nullptr, [this] { return now_; });
  run(printer, 30);
  EXPECT_TRUE(lines_.empty());
  ASSERT_EQ(done.size(), 102U);
  EXPECT_EQ(done.front(), 0);
  EXPECT_EQ(done[100], 312'000'000);
  EXPECT_EQ(done.back(), -1);
}

TEST(FormatProgress, CountsWhatIsNotBytes) {
  EXPECT_EQ(format_progress({"evaluating", "windows", 190, 512}, 5.5),
            "evaluating  37 %  190 of 512 windows  35 windows/s  9s left");
  EXPECT_EQ(format_progress({"evaluating", "windows", 1, 3}, 2), "evaluating  33 %  1 of 3 windows  0.5 windows/s  4s left");
}

TEST(FormatProgress, KeepsItsWordWhereTheTotalIsUnknownOrTooLow) {
  EXPECT_EQ(format_progress({"reading", "bytes", 2'500'000, 0}, 5), "reading  2.5 MB  500.0 kB/s");
  EXPECT_EQ(format_progress({"reading", "bytes", 2'500'000, 2'000'000}, 5),
            "reading  100 %  2.5 MB of 2.5 MB  500.0 kB/s  0s left");
  EXPECT_EQ(format_progress({"reading", "bytes", 0, 1000}, 3), "reading  0 %  0.0 kB of 1.0 kB  0.0 kB/s");
}

}  // namespace
}  // namespace virgil
