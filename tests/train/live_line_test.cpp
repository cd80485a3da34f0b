#include "virgil/train/live_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace virgil {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

StepMetrics step_of_tiny() {
  StepMetrics metrics;
  metrics.step = 674;
  metrics.max_steps = 1500;
  metrics.loss = 1.6417;
  metrics.learning_rate = 7.5e-4;
  metrics.grad_norm = 0.42;
  metrics.elapsed_ms = 1212;
  metrics.tokens_per_s = 3378.4;
  metrics.remaining_s = 1704;
  metrics.memory.planned_bytes = 64 * kMiB;
  metrics.memory.allocated_bytes = 61 * kMiB;
  metrics.memory.peak_bytes = 62 * kMiB;
  metrics.memory.process_rss_bytes = 150 * kMiB;
  metrics.memory.process_peak_bytes = 160 * kMiB;
  return metrics;
}

LossHistory falling_history(int steps = 675) {
  LossHistory history;
  for (int i = 0; i < steps; ++i) history.add(1.6 + 2.6 * std::exp(-i / 150.0));
  return history;
}

TEST(LiveLine, SaysAllThatMattersInEightyColumns) {
  const std::string line = format_live_line(step_of_tiny(), falling_history(), {.columns = 80, .unicode = true});
  EXPECT_EQ(line, " 45% ██▎░░  675/1500 loss 1.633 █▄▂▁▁▁ 3,378 tok/s mem 61/62/64 MiB 28m24s left");
  EXPECT_LE(text_columns(line), 79U);
}

TEST(LiveLine, SaysTheRestOnAWideTerminal) {
  const std::string line = format_live_line(step_of_tiny(), falling_history(), {.columns = 200, .unicode = true});
  EXPECT_LE(text_columns(line), 199U);
  EXPECT_THAT(line, AllOf(HasSubstr("mem 61.0 (peak 62.0) of 64.0 MiB"), HasSubstr("lr 7.5e-04"), HasSubstr("norm 0.42"),
                          HasSubstr("1212 ms"), HasSubstr("rss 150.0 MiB (peak 160.0 MiB)"), HasSubstr("28m24s left")));
}

TEST(LiveLine, FitsEveryWidthAndNeverLosesPercentAndLoss) {
  StepMetrics large = step_of_tiny();
  large.step = 99'999;
  large.max_steps = 1'000'000;
  large.tokens_per_s = 1.25e6;
  large.remaining_s = 4e5;
  large.loss_scale = 65536;
  large.memory.planned_bytes = 1400 * kMiB * 100;
  large.memory.allocated_bytes = large.memory.peak_bytes = 1390 * kMiB * 100;
  large.memory.device = {.total_bytes = 1440 * kMiB * 100, .free_bytes = kMiB, .context_bytes = 1, .others_bytes = 0};
  large.ranks.resize(8);
  const WorkUnderWay step{.step_share = 0.5, .micro_step = 100, .micro_steps = 1000, .remaining_s = 4e5};
  const WorkUnderWay evaluation{.phase = PhaseProgress{"evaluating", "windows", 190, 512'000}, .remaining_s = 4e5};
  for (const StepMetrics& metrics : {step_of_tiny(), large}) {
    for (int columns = 1; columns <= 300; ++columns) {
      for (const bool unicode : {false, true}) {
        for (const WorkUnderWay* work : {static_cast<const WorkUnderWay*>(nullptr), &step, &evaluation}) {
          const std::string line = format_live_line(metrics, falling_history(), {.columns = columns, .unicode = unicode}, work);
          EXPECT_LE(text_columns(line), static_cast<std::size_t>(std::max(1, columns - 1))) << line;
          if (columns > 20) {
            EXPECT_THAT(line, AllOf(HasSubstr("%"), HasSubstr("loss 1.6"))) << columns;
          }
        }
      }
    }
  }
}

TEST(LiveLine, GoesOnWithinAStep) {
  const WorkUnderWay work{.step_share = 0.319, .micro_step = 6, .micro_steps = 16, .remaining_s = 1690};
  const std::string narrow = format_live_line(step_of_tiny(), falling_history(), {.columns = 80, .unicode = true}, &work);
  EXPECT_EQ(narrow, " 45% ██▎░░  675.31/1500 loss 1.633 █▅▃▂▁▁▁▁ 3,378 tok/s mem 61/62/64 MiB 28m10s");
  const std::string wide = format_live_line(step_of_tiny(), falling_history(), {.columns = 200, .unicode = true}, &work);
  EXPECT_THAT(wide, AllOf(HasSubstr("675.31/1500"), HasSubstr("micro-step 6 of 16"), HasSubstr("28m10s left")));
  const WorkUnderWay almost{.step_share = 0.999, .micro_step = 1, .micro_steps = 1, .remaining_s = 0};
  EXPECT_THAT(format_live_line(step_of_tiny(), falling_history(), {.columns = 200}, &almost),
              AllOf(HasSubstr(" 675.99/1500"), Not(HasSubstr("micro"))));
}

TEST(LiveLine, MovesPercentAndBarWithinOneOfAFewSteps) {
  StepMetrics metrics = step_of_tiny();
  metrics.step = 0;
  metrics.max_steps = 2;
  const WorkUnderWay work{.step_share = 0.5, .remaining_s = 10};
  EXPECT_THAT(format_live_line(metrics, falling_history(1), {.columns = 80, .unicode = true}, &work),
              StartsWith(" 75% ███▊░ 1.50/2 "));
}

TEST(LiveLine, HasNoFiguresBeforeTheFirstStepIsOver) {
  StepMetrics metrics;
  metrics.step = -1;
  metrics.max_steps = 20;
  const WorkUnderWay work{.step_share = 0.4, .micro_step = 4, .micro_steps = 8, .remaining_s = 3600};
  EXPECT_EQ(format_live_line(metrics, {}, {.columns = 80}, &work),
            "  2%  ------------------------   0.40/20  micro-step 4 of 8  1h00m left");
  const WorkUnderWay unknown{.micro_step = 1, .micro_steps = 1};
  EXPECT_EQ(format_live_line(metrics, {}, {.columns = 20}, &unknown), "  0% -----  0.00/20");
}

TEST(LiveLine, KeepsTheFiguresDuringAnEvaluation) {
  const WorkUnderWay work{.phase = PhaseProgress{"evaluating", "windows", 190, 512}, .remaining_s = 1690};
  const std::string narrow = format_live_line(step_of_tiny(), falling_history(), {.columns = 80, .unicode = true}, &work);
  EXPECT_EQ(narrow, " 45%  675/1500 eval 37% loss 1.633 █▅▃▂▁▁▁▁ 3,378 tok/s mem 61/62/64 MiB 28m10s");
  EXPECT_THAT(format_live_line(step_of_tiny(), falling_history(), {.columns = 200}, &work),
              AllOf(HasSubstr("675/1500 evaluating 37%, 190 of 512 windows"), HasSubstr("loss 1.633")));
  const WorkUnderWay other{.phase = PhaseProgress{"hashing", "bytes", 12345, 0}, .remaining_s = 0};
  EXPECT_THAT(format_live_line(step_of_tiny(), falling_history(), {.columns = 200}, &other), HasSubstr("hashing 12,345 bytes"));
}

TEST(LiveLine, UsesColoursOnlyWhereItMay) {
  const std::string plain = format_live_line(step_of_tiny(), falling_history(), {.columns = 80});
  EXPECT_THAT(plain, Not(HasSubstr("\x1b")));
  const std::string coloured = format_live_line(step_of_tiny(), falling_history(), {.columns = 80, .colours = true});
  EXPECT_THAT(coloured, HasSubstr("\x1b[1mloss 1.633\x1b[0m"));
}

TEST(LiveLine, IsAsciiWithoutUnicode) {
  for (const char c : format_live_line(step_of_tiny(), falling_history(), {.columns = 120})) EXPECT_GE(c, ' ');
}

TEST(LiveLine, ShowsALossThatIsNotFinite) {
  StepMetrics metrics = step_of_tiny();
  metrics.loss = std::numeric_limits<double>::quiet_NaN();
  metrics.updated = false;
  EXPECT_THAT(format_live_line(metrics, falling_history(), {.columns = 80}),
              AllOf(HasSubstr("loss nan"), HasSubstr("NOT APPLIED")));
  EXPECT_THAT(format_live_line(metrics, LossHistory(), {.columns = 80}), HasSubstr("loss nan"));
}

TEST(LastingLine, HasNoBar) {
  const std::string line = format_lasting_line(step_of_tiny(), falling_history(), {.columns = 80, .unicode = true});
  EXPECT_THAT(line, StartsWith(" 45%  675/1500"));
  EXPECT_THAT(line, Not(HasSubstr("░")));
}

TEST(ProgressBar, IsFilledInEighths) {
  EXPECT_EQ(progress_bar(0, 4, true), "░░░░");
  EXPECT_EQ(progress_bar(0.5, 4, true), "██░░");
  EXPECT_EQ(progress_bar(0.53125, 4, true), "██▏░");
  EXPECT_EQ(progress_bar(1, 4, true), "████");
  EXPECT_EQ(progress_bar(7, 4, true), "████");
  EXPECT_EQ(progress_bar(0.5, 4, false), "##--");
}

TEST(Sparkline, DrawsFromTheLowestToTheHighest) {
  EXPECT_EQ(sparkline(std::vector<double>{4, 3, 2, 1}, true), "█▆▃▁");
  EXPECT_EQ(sparkline(std::vector<double>{2, 2}, true), "▁▁");
  EXPECT_EQ(sparkline(std::vector<double>{}, true), "");
  EXPECT_EQ(sparkline(std::vector<double>{1, 2}, false), "_#");
}

TEST(LossHistory, SmoothsWithoutABiasToItsStart) {
  LossHistory history;
  EXPECT_TRUE(history.empty());
  history.add(3);
  EXPECT_DOUBLE_EQ(history.smoothed(), 3);
  for (int i = 0; i < 1000; ++i) history.add(2);
  EXPECT_NEAR(history.smoothed(), 2, 1e-9);
  history.add(std::numeric_limits<double>::infinity());
  EXPECT_NEAR(history.smoothed(), 2, 1e-9);
}

TEST(LossHistory, KeepsTheShapeOfALongRun) {
  LossHistory history;
  constexpr int kSteps = 100'000;
  for (int i = 0; i < kSteps; ++i) history.add(kSteps - i);
  const std::vector<double> points = history.points(4);
  ASSERT_EQ(points.size(), 4U);
  for (std::size_t i = 0; i < points.size(); ++i) {
    EXPECT_NEAR(points[i], kSteps * (1 - (static_cast<double>(i) + 0.5) / 4), 0.02 * kSteps) << i;
  }
  LossHistory brief;
  brief.add(1);
  brief.add(5);
  EXPECT_THAT(brief.points(10), ElementsAre(1, 5));
}

}  // namespace
}  // namespace virgil
