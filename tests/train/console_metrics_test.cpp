#include "virgil/train/console_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <optional>
#include <string>

namespace virgil {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// A console that writes into memory.
class RecordedConsole {
 public:
  explicit RecordedConsole(bool is_terminal) : stream_(open_memstream(&text_, &size_)) {
    console_.emplace(stream_, is_terminal ? terminal() : nullptr, std::function<void()>(), [this] { return now_s_; });
  }
  RecordedConsole(const RecordedConsole&) = delete;
  RecordedConsole& operator=(const RecordedConsole&) = delete;
  ~RecordedConsole() {
    console_.reset();  // which removes its live line
    std::fclose(stream_);
    std::free(text_);
  }
  ConsoleMetrics& operator*() { return *console_; }
  ConsoleMetrics* operator->() { return &*console_; }
  std::string text() {
    std::fflush(stream_);
    return {text_, size_};
  }
  /// What is written in so many seconds, as a ticker moves the line four times in each.
  std::string after(double seconds) {
    const std::size_t before = text().size();
    for (int i = 0; i < static_cast<int>(4 * seconds); ++i) {
      now_s_ += 0.25;
      console_->tick();
    }
    return text().substr(before);
  }

 private:
  static std::function<TerminalStyle()> terminal() {
    return [] { return TerminalStyle{.columns = 100}; };
  }

  char* text_ = nullptr;
  std::size_t size_ = 0;
  std::FILE* stream_;
  double now_s_ = 1000;
  std::optional<ConsoleMetrics> console_;
};

StepMetrics console_step() {
  StepMetrics metrics;
  metrics.step = 119;
  metrics.max_steps = 1500;
  metrics.loss = 2.4313;
  metrics.learning_rate = 1e-3;
  metrics.grad_norm = 0.5;
  metrics.elapsed_ms = 1234;
  metrics.tokens_per_s = 2489.7;
  metrics.remaining_s = 1704;
  metrics.memory.planned_bytes = std::int64_t{300} << 20;
  metrics.memory.allocated_bytes = std::int64_t{290} << 20;
  metrics.memory.peak_bytes = std::int64_t{310} << 20;
  metrics.memory.process_rss_bytes = std::int64_t{3} << 29;
  metrics.memory.process_peak_bytes = std::int64_t{2} << 30;
  return metrics;
}

TEST(FormatBytes, ChoosesTheUnit) {
  EXPECT_EQ(format_bytes(0), "0.0 KiB");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes((std::int64_t{1} << 20) - 1), "1024.0 KiB");
  EXPECT_EQ(format_bytes(std::int64_t{386} << 20), "386.0 MiB");
  EXPECT_EQ(format_bytes(std::int64_t{3} << 29), "1.50 GiB");
}

TEST(FormatStep, SaysEverythingAStepHasToTell) {
  EXPECT_EQ(format_step(console_step()),
            "step  119/1500  loss 2.4313  lr 1.00e-03  norm 0.500  2,490 tok/s  1234 ms  mem 290.0 MiB of 300.0 MiB planned "
            "(peak 310.0 MiB)  rss 1.50 GiB (peak 2.00 GiB)  8%  28m24s left");
}

TEST(FormatStep, TellsOfADevicesMemoryAndOfTheLossScale) {
  StepMetrics metrics = console_step();
  metrics.loss_scale = 32768;
  metrics.memory.device = {.total_bytes = std::int64_t{24} << 30, .free_bytes = std::int64_t{20} << 30, .context_bytes = 1};
  EXPECT_EQ(
      format_step(metrics),
      "step  119/1500  loss 2.4313  lr 1.00e-03  norm 0.500  scale 32768  2,490 tok/s  1234 ms  mem 290.0 MiB of 300.0 MiB "
      "planned (peak 310.0 MiB)  device 4.00 GiB of 24.00 GiB  rss 1.50 GiB (peak 2.00 GiB)  8%  28m24s left");
}

TEST(FormatStep, PrintsANanWithoutItsSign) {
  StepMetrics metrics = console_step();
  metrics.loss = metrics.grad_norm = -std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(format_step(metrics), testing::AllOf(HasSubstr("loss nan "), HasSubstr("norm nan ")));
}

TEST(FormatStep, MarksAnUpdateThatWasNotApplied) {
  StepMetrics metrics = console_step();
  metrics.updated = false;
  EXPECT_THAT(format_step(metrics), testing::EndsWith("NOT APPLIED"));
}

TEST(ConsoleMetrics, OnAPipePrintsTheStepsThatAreLogged) {
  RecordedConsole console(false);
  const LossHistory losses;
  StepMetrics metrics = console_step();
  console->step(metrics, losses);
  metrics.is_logged = false;
  console->step(metrics, losses);
  EXPECT_EQ(console.text(), format_step(console_step()) + "\n");
}

TEST(ConsoleMetrics, OnAPipeUsesNoControlCharacters) {
  RecordedConsole console(false);
  console->step(console_step(), {});
  console->info("note");
  console->warn("careful");
  console->evaluation({.step = 5, .loss = 2.5});
  EXPECT_THAT(console.text(), Not(HasSubstr("\x1b")));
  EXPECT_THAT(console.text(), Not(HasSubstr("\r")));
  EXPECT_THAT(console.text(), HasSubstr("\nnote\nwarning: careful\n"));
}

TEST(ConsoleMetrics, OnATerminalRewritesOneLineAndKeepsTheRest) {
  RecordedConsole console(true);
  console->step(console_step(), {});
  EXPECT_THAT(console.text(), Not(HasSubstr("\n")));
  console->evaluation(
      {.step = 120, .loss = 2.5, .perplexity = 12.18, .bits_per_byte = 3.6, .num_tokens = 61234, .is_best = true});
  EXPECT_THAT(console.text(), testing::EndsWith("\r\x1b[Keval   120  val loss 2.5000  perplexity 12.18  bits/byte 3.6000  "
                                                "61,234 tokens in 0.0 s  best\n"));
}

TEST(ConsoleMetrics, OnATerminalKeepsAStepOfEveryTwentieth) {
  RecordedConsole console(true);
  StepMetrics metrics = console_step();
  metrics.max_steps = 200;
  LossHistory losses;
  losses.add(metrics.loss);
  for (metrics.step = 57; metrics.step < 200; ++metrics.step) console->step(metrics, losses);  // as a run that is resumed
  const std::string text = console.text();
  EXPECT_EQ(std::ranges::count(text, '\n'), 15);
  EXPECT_THAT(text, HasSubstr(" 30%  60/200 loss 2.431"));
  EXPECT_THAT(text, HasSubstr("100% 200/200 loss 2.431"));
}

TEST(ConsoleMetrics, SaysOnceThatNobodyReads) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  std::FILE* stream = fdopen(ends[1], "w");
  auto* const handler = std::signal(SIGPIPE, SIG_IGN);
  int times = 0;
  {
    ConsoleMetrics console(stream, nullptr, [&] { ++times; });
    console.info("one");
    console.info("two");
  }
  EXPECT_EQ(times, 1);
  std::signal(SIGPIPE, handler);
  std::fclose(stream);
}

TEST(ConsoleMetrics, NamesThePartOfALargeTextThatAnEvaluationCovers) {
  RecordedConsole console(false);
  console->evaluation({.loss = 1, .num_tokens = 131072, .num_windows = 512, .total_windows = 30000});
  console->evaluation({.loss = 1, .num_tokens = 131072, .num_windows = 512, .total_windows = 512});
  EXPECT_THAT(console.text(), HasSubstr("131,072 tokens (512 of 30,000 windows) in"));
  EXPECT_THAT(console.text(), HasSubstr("131,072 tokens in"));
}

constexpr StepUnderWay kLongStep = {
    .step = 120, .max_steps = 1500, .micro_steps = 4, .begun = 1, .expected_s = 40, .remaining_s = 1704};

TEST(ConsoleMetrics, ShowsAndRemovesAPhaseOnATerminalOnly) {
  RecordedConsole terminal(true), pipe(false);
  const PhaseProgress phase{"reading", "bytes", 50, 100};
  for (RecordedConsole* console : {&terminal, &pipe}) {
    (*console)->phase_under_way(&phase);
    console->after(2);
    (*console)->phase_under_way(nullptr);
    console->after(2);
    (*console)->info("read");
  }
  EXPECT_THAT(terminal.text(), HasSubstr("reading  50 %"));
  EXPECT_THAT(terminal.text(), HasSubstr("2s left\x1b[K\x1b[?7h\r\x1b[Kread\n"));
  EXPECT_EQ(pipe.text(), "read\n");
}

TEST(ConsoleMetrics, MovesWithinAStepThatLastsLongerThanASecond) {
  RecordedConsole console(true);
  console->step(console_step(), {});
  console->step_under_way(&kLongStep);
  EXPECT_EQ(console.after(0.75), "");
  const std::string first = console.after(0.25);
  EXPECT_THAT(first, AllOf(HasSubstr("120.02/1500"), HasSubstr("2,490 tok/s"), HasSubstr("28m23s")));
  EXPECT_THAT(first, Not(HasSubstr("\n")));
  EXPECT_THAT(console.after(4), AllOf(HasSubstr("120.12/1500"), HasSubstr("28m19s")));
  StepUnderWay second = kLongStep;
  ++second.begun;
  ++second.done;
  console->step_under_way(&second);
  EXPECT_THAT(console.after(0.25), HasSubstr("120.26/1500"));
  console->warn("careful");
  EXPECT_THAT(console.after(0.25), HasSubstr("120.27/1500")) << "a line that stays is no reason to stand still";
}

TEST(ConsoleMetrics, MovesNoMoreOnceAStepIsOverOrGivenUp) {
  RecordedConsole console(true);
  console->step_under_way(&kLongStep);
  EXPECT_THAT(console.after(2), HasSubstr("120.05/1500"));
  console->step(console_step(), {});
  EXPECT_EQ(console.after(2), "");
  console->step_under_way(&kLongStep);
  console->step_under_way(nullptr);
  EXPECT_EQ(console.after(2), "");
}

TEST(ConsoleMetrics, ShowsTheFirstStepWithoutFigures) {
  RecordedConsole console(true);
  StepUnderWay step = kLongStep;
  step.step = 0;
  console->step_under_way(&step);
  EXPECT_THAT(console.after(2), AllOf(HasSubstr("0.05/1500"), HasSubstr("micro-step 1 of 4"), Not(HasSubstr("loss"))));
}

TEST(ConsoleMetrics, KeepsTheFiguresOfTrainingDuringAnEvaluation) {
  RecordedConsole console(true);
  console->step(console_step(), {});
  const PhaseProgress phase{"evaluating", "windows", 50, 200};
  console->phase_under_way(&phase);
  EXPECT_EQ(console.after(0.75), "");
  EXPECT_THAT(console.after(1), AllOf(HasSubstr("120/1500"), HasSubstr("eval 25%"), HasSubstr("2,490 tok/s")));
  const std::size_t before = console.text().size();
  console->phase_under_way(nullptr);
  EXPECT_EQ(console.text().size(), before) << "the evaluation's line takes its place";
  EXPECT_EQ(console.after(2), "");
}

TEST(ConsoleMetrics, OnAPipeNothingMoves) {
  RecordedConsole console(false);
  console->step_under_way(&kLongStep);
  EXPECT_EQ(console.after(5), "");
}

TEST(ConsoleMetrics, ShowsSamplesBetweenMarks) {
  RecordedConsole console(false);
  console->sample(250, "Nel mezzo");
  EXPECT_EQ(console.text(), "---- sample at step 250 ----\nNel mezzo\n----\n");
}

}  // namespace
}  // namespace virgil
