#include "train/run_end.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/temporary_directory.h"
#include "virgil/data/tokenizer_builder.h"

namespace virgil {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

class Lines final : public Logger {
 public:
  void info(std::string_view line) override { all.emplace_back(line); }
  void warn(std::string_view line) override { all.push_back("warning: " + std::string(line)); }
  std::vector<std::string> all;
};

class RunEnds : public testing::Test {
 protected:
  RunEnds() {
    config_.out_dir = directory_.path().string();
    config_.model_name = "my run";
    config_.max_iters = 1500;
    state_.step = 1500;
    state_.last_eval_step = 1500;
    state_.last_val_loss = 1.4729;
    state_.best_val_loss = 1.4629;
    state_.best_step = 1250;
    memory_.planned[MemoryCategory::kWeights] = memory_.allocated[MemoryCategory::kWeights] = std::int64_t{300} << 20;
    memory_.peak_bytes = std::int64_t{300} << 20;
    memory_.before.rss_bytes = std::int64_t{20} << 20;
    memory_.after.rss_bytes = std::int64_t{322} << 20;
  }
  void checkpoint(const char* name) const { std::filesystem::create_directories(run_ / name); }
  std::vector<std::string> report(RunStatus status, std::string prompt = "Nel mezzo") {
    Lines lines;
    report_end({status, state_, tally_, 100, memory_, std::move(prompt)}, config_, {"build/", 1}, lines);
    return lines.all;
  }

  test_support::TemporaryDirectory directory_;
  std::filesystem::path run_ = directory_.path() / "my run";
  TrainConfig config_;
  TrainingState state_;
  RunTally tally_{.steps = 1500,
                  .tokens = 4'608'000,
                  .steps_s = 1800,
                  .total_s = 1872,
                  .tokens_per_epoch = 483'419,
                  .flops_per_token = 2e7,
                  .loss = 1.4471,
                  .smoothed_loss = 1.4502};
  MemoryComparison memory_;
};

TEST_F(RunEnds, SayWhatWasDoneAndWhatComesNext) {
  checkpoint("step-00001500");
  checkpoint("best");
  const std::string run = "'" + run_.string() + "'";
  EXPECT_THAT(
      report(RunStatus::kFinished),
      testing::ElementsAre(
          "finished at step 1500: 4,608,000 tokens (9.5 epochs) in 31m12s; 2,560 tok/s on average, 51 % of peak",
          "loss     train 1.4471 (1.4502 smoothed), validation 1.4729; best validation loss 1.4629 at step 1250",
          "memory   300.0 MiB planned, allocated and held at most: equal in each category",
          "         process: 322.0 MiB; the plan cannot know 20.0 MiB before it, 2.0 MiB since (code, texts, threads)",
          "files    " + run_.string() + ": step-00001500, best, metrics.jsonl, run.json, events for TensorBoard", "",
          "  read from it build/generate --checkpoint " + run + " --prompt 'Nel mezzo'", "  plot it      build/report " + run,
          "  train on     build/train --resume --out_dir " + config_.out_dir + " --model_name 'my run' --max_iters 3000",
          "  its memory   build/calc_params --run " + run));
}

TEST_F(RunEnds, AStoppedRunIsResumedFirst) {
  checkpoint("step-00000700");
  state_.step = 700;
  state_.last_eval_step = 500;
  const std::vector<std::string> lines = report(RunStatus::kInterrupted, "x");
  EXPECT_THAT(lines[0], HasSubstr("stopped at step 700 of 1500: "));
  EXPECT_THAT(lines[1], HasSubstr("validation 1.4729 at step 500"));
  EXPECT_THAT(lines, Contains(testing::AllOf(HasSubstr("  resume it    build/train --resume"), Not(HasSubstr("max_iters")))));
  EXPECT_THAT(lines, Contains(testing::EndsWith("generate --checkpoint '" + run_.string() + "' --prompt x")));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("train on"))));
}

TEST_F(RunEnds, ARunWhosePatienceIsOverSaysSo) {
  checkpoint("step-00001000");
  config_.patience = 3;
  config_.eval_interval = 250;
  state_.step = state_.last_eval_step = 1000;
  state_.best_step = 250;
  EXPECT_TRUE(is_finished(config_, state_));
  const std::vector<std::string> lines = report(RunStatus::kFinished);
  EXPECT_THAT(lines[0], HasSubstr("finished at step 1000 of 1500, as 3 evaluations in a row found no better loss: "));
  EXPECT_THAT(lines, Contains(testing::AllOf(HasSubstr("train on"), testing::EndsWith("--patience 0"))));
  config_.patience = 0;
  EXPECT_FALSE(is_finished(config_, state_));
}

TEST_F(RunEnds, ADivergedRunNamesItsLastGoodCheckpointIfAny) {
  EXPECT_THAT(report(RunStatus::kDiverged),
              testing::AllOf(Contains(HasSubstr("There is no checkpoint yet")), Not(Contains(HasSubstr("read from it")))));
  checkpoint("step-00000700");
  EXPECT_THAT(report(RunStatus::kDiverged), Contains(testing::AllOf(HasSubstr("step-00000700"), HasSubstr("--learning_rate"))));
}

TEST_F(RunEnds, MemoryThatIsNotAsPlannedIsShownInFull) {
  memory_.allocated[MemoryCategory::kWeights] += 64;
  EXPECT_THAT(report(RunStatus::kFinished), Contains(HasSubstr("64 bytes apart")));
}

TEST_F(RunEnds, AShareBeyondThePeakIsNoFigure) {
  tally_.steps_s = 1;
  EXPECT_THAT(report(RunStatus::kFinished)[0], testing::EndsWith("4,608,000 tok/s on average"));
}

TEST_F(RunEnds, WithoutAStepThereIsNoRate) {
  tally_ = {};
  const std::vector<std::string> lines = report(RunStatus::kFinished);
  EXPECT_EQ(lines[0], "finished at step 1500");
  EXPECT_EQ(lines[1], "loss     validation 1.4729; best validation loss 1.4629 at step 1250");
}

TEST(PromptOfARun, IsOfTheTextAndShort) {
  const auto prompt_of = [](const std::string& text, const TrainConfig& config = {}) {
    const auto builder = make_tokenizer_builder("char");
    builder->add_text(text);
    Dataset data;
    data.tokenizer = builder->finish();
    data.train.tokens = TokenSequence(data.tokenizer->encode(text));
    return prompt_for(config, data);
  };
  EXPECT_EQ(prompt_of("\n\n  LA DIVINA COMMEDIA\ndi Dante"), "LA DIVINA COMMEDIA");
  EXPECT_EQ(prompt_of("Nel mezzo del cammin di nostra vita"), "Nel mezzo del cammin di");
  EXPECT_EQ(prompt_of("abcdefghijklmnopqrstuvwxyzabc"), "abcdefghijklmnopqrstuvwx");
  EXPECT_EQ(prompt_of("citt\xC3\xA0 dolente"), "citt");
  EXPECT_EQ(prompt_of(" \n "), "\n");
  TrainConfig given;
  given.sample_prompt = "Per me";
  EXPECT_EQ(prompt_of("Nel mezzo", given), "Per me");
}

}  // namespace
}  // namespace virgil
