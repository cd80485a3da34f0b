#include "virgil/train/training_run.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "support/user_error.h"
#include "train/training_run_fixture.h"
#include "virgil/base/sha256.h"
#include "virgil/data/token_file.h"
#include "virgil/train/run_folder.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;
using test_support::tiny_text;
using test_support::user_error_of;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class TrainingRunTest : public test_support::TrainingRunFixture {};

TEST_F(TrainingRunTest, TrainsAndSaysWhatItDoes) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  EXPECT_EQ(sink_.steps.size(), 8U);
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("model"), HasSubstr("parameters"))));
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("tokens per parameter"), HasSubstr("held out"))));
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("8 steps of 64 tokens"), HasSubstr("epochs"))));
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("planned"), HasSubstr("optimizer"), HasSubstr("activations"))));
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("cpu: 1 thread,")));
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("time     "), HasSubstr("by a timed micro-step"))));
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("finished at step 8: 512 tokens")));
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("files    "), HasSubstr("step-00000008"), HasSubstr("TensorBoard"))));
  EXPECT_THAT(sink_.warnings, Contains(HasSubstr("fewer tokens than parameters")));
  EXPECT_THAT(checkpoints(), ElementsAre("step-00000008"));
}

TEST_F(TrainingRunTest, EndsWithThePlanBesideReality) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(testing::EndsWith("planned, allocated and held at most: equal in each category")));
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("the plan cannot know")));
  for (const StepMetrics& step : sink_.steps) {
    EXPECT_EQ(step.memory.planned_by_category, step.memory.by_category);
    EXPECT_EQ(step.memory.peak_by_category, step.memory.by_category);
  }
  stop_at_ = 2;
  EXPECT_EQ(run({"--overwrite"}), RunStatus::kInterrupted);
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("the plan cannot know")));
}

TEST_F(TrainingRunTest, MeasuresItsRateAgainstAMatrixProduct) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  for (const StepMetrics& step : sink_.steps) EXPECT_GT(step.mfu, 0);
}

TEST_F(TrainingRunTest, DryRunStopsBeforeTheFirstStepAndWritesNothing) {
  const auto before = tree();
  EXPECT_EQ(run({"--dry_run"}), RunStatus::kFinished);
  EXPECT_EQ(tree(), before);
  EXPECT_THAT(sink_.steps, IsEmpty());
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("planned")));
}

TEST_F(TrainingRunTest, DryRunOfARunThatGoesOnChecksItAndWritesNothing) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  const auto before = tree();
  EXPECT_EQ(run({"--dry_run", "--resume", "--max_iters=16", "--lr_decay_iters=16"}), RunStatus::kFinished);
  EXPECT_EQ(run({"--dry_run", "--overwrite"}), RunStatus::kFinished);
  EXPECT_EQ(tree(), before);
}

TEST_F(TrainingRunTest, InterruptedSaysHowToGoOn) {
  stop_at_ = 3;
  EXPECT_EQ(run({}), RunStatus::kInterrupted);
  EXPECT_THAT(checkpoints(), ElementsAre("step-00000003"));
  EXPECT_THAT(sink_.lines,
              Contains(AllOf(HasSubstr("resume it"), HasSubstr("train --resume --out_dir"), HasSubstr("--model_name run"))));
}

TEST_F(TrainingRunTest, GoesOnFromTheSavedConfigAlone) {
  EXPECT_EQ(run({"--model_name=whole"}), RunStatus::kFinished);
  stop_at_ = 3;
  EXPECT_EQ(run({}), RunStatus::kInterrupted);
  stop_at_ = -1;
  sink_ = {};
  const std::vector<std::string> flags = {"--resume", "--out_dir=" + (directory_.path() / "runs").string(), "--model_name=run"};
  EXPECT_EQ(run_training(parse_train_command_line(flags), files_, sink_, [] { return false; }), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("resumed"), HasSubstr("step 3"))));
  EXPECT_EQ(sink_.steps.front().step, 3);
  for (const char* name : {"model.safetensors", "optimizer.safetensors"}) {
    EXPECT_EQ(sha256_of_file(folder() / "step-00000008" / name),
              sha256_of_file(directory_.path() / "runs" / "whole" / "step-00000008" / name));
  }
}

TEST_F(TrainingRunTest, GoesOnWithoutMasterWeightsFromTheSavedConfigAlone) {
  const std::vector<std::string> flags = {"--dtype=bfloat16", "--master_weights=false"};
  std::vector<std::string> whole = flags;
  whole.emplace_back("--model_name=whole");
  EXPECT_EQ(run(whole), RunStatus::kFinished);
  EXPECT_EQ(sink_.steps.back().memory.by_category[MemoryCategory::kMasterWeights], 0);
  EXPECT_EQ(sink_.steps.back().memory.allocated_bytes, sink_.steps.back().memory.planned_bytes);
  stop_at_ = 3;
  EXPECT_EQ(run(flags), RunStatus::kInterrupted);
  stop_at_ = -1;
  sink_ = {};
  const std::vector<std::string> resume = {"--resume", "--out_dir=" + (directory_.path() / "runs").string(),
                                           "--model_name=run"};
  EXPECT_EQ(run_training(parse_train_command_line(resume), files_, sink_, [] { return false; }), RunStatus::kFinished);
  for (const char* name : {"model.safetensors", "optimizer.safetensors"}) {
    EXPECT_EQ(sha256_of_file(folder() / "step-00000008" / name),
              sha256_of_file(directory_.path() / "runs" / "whole" / "step-00000008" / name));
  }
  EXPECT_THAT(refused({"--model_name=other", "--dtype=float32", "--master_weights=false"}),
              HasSubstr("master_weights is false"));
}

TEST_F(TrainingRunTest, DropsTheFiguresOfStepsThatAreDoneAgain) {
  EXPECT_EQ(run({"--save_interval=2"}), RunStatus::kFinished);
  fs::remove_all(folder() / "step-00000008");
  test_support::write_all(folder() / "metrics.jsonl",
                          test_support::read_all(folder() / "metrics.jsonl") + "{\"step\": 8, \"lo");
  EXPECT_EQ(run({"--resume"}), RunStatus::kFinished);
  std::istringstream text(test_support::read_all(folder() / "metrics.jsonl"));
  std::vector<std::string> steps;
  for (std::string line; std::getline(text, line);) steps.push_back(line.substr(0, line.find(',')));
  EXPECT_THAT(steps,
              ElementsAre("{\"step\":0", "{\"step\":1", "{\"step\":2", "{\"step\":3", "{\"step\":4", "{\"step\":5",
                          "{\"step\":6", "{\"step\":7", "{\"step\":8", "{\"step\":8"));  // evaluation and sample of the end
}

TEST_F(TrainingRunTest, AFinishedRunIsLeftAsItIs) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  const auto before = tree();
  EXPECT_EQ(run({"--resume"}), RunStatus::kFinished);
  EXPECT_EQ(tree(), before);
  EXPECT_THAT(sink_.lines, ElementsAre(AllOf(HasSubstr("is finished"), HasSubstr("--max_iters 16"))));
}

TEST_F(TrainingRunTest, AFinishedRunGoesFurtherWhenAsked) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  EXPECT_EQ(run({"--resume", "--max_iters=12", "--lr_decay_iters=12"}), RunStatus::kFinished);
  EXPECT_EQ(sink_.steps.size(), 4U);
  EXPECT_THAT(checkpoints(), ElementsAre("step-00000008", "step-00000012"));
}

TEST_F(TrainingRunTest, AFinishedRunGoesFurtherAtItsLastRateWithTheTokensOfItsSteps) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  sink_ = {};
  const std::vector<std::string> flags = {"--resume", "--out_dir=" + (directory_.path() / "runs").string(), "--model_name=run",
                                          "--max_iters=10", "--batch_size=4"};
  EXPECT_EQ(run_training(parse_train_command_line(flags), files_, sink_, [] { return false; }), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("its last rate, 0.0003"), HasSubstr("--lr_decay_iters 10"))));
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("batch_size is 4 after 2"), HasSubstr("keep their 64 tokens"))));
  for (const StepMetrics& step : sink_.steps) EXPECT_EQ(step.learning_rate, 3e-4);
  sink_ = {};
  std::vector<std::string> doubled = flags;
  doubled.insert(doubled.end(), {"--max_iters=11", "--batch_size=8", "--lr_decay_iters=11"});
  EXPECT_EQ(run_training(parse_train_command_line(doubled), files_, sink_, [] { return false; }), RunStatus::kFinished);
  EXPECT_THAT(sink_.warnings, Contains(AllOf(HasSubstr("steps take 128 tokens"), HasSubstr("--total_batch_size 64"))));
}

TEST_F(TrainingRunTest, EpochsSayHowLongARunIs) {
  CommandLine line = command_line({});
  line.config.epochs = 0.1;
  line.config.lr_decay_iters = 0;
  EXPECT_EQ(run_training(line, files_, sink_, [] { return false; }), RunStatus::kFinished);
  const std::int64_t steps = std::ssize(sink_.steps);
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("epochs 0.1"), HasSubstr(fmt::format("{} steps", steps)))));
  EXPECT_NEAR(sink_.steps.back().epoch, 0.1, 0.02);
  sink_ = {};
  const std::vector<std::string> flags = {"--resume", "--out_dir=" + (directory_.path() / "runs").string(), "--model_name=run"};
  EXPECT_EQ(run_training(parse_train_command_line(flags), files_, sink_, [] { return false; }), RunStatus::kFinished);
  EXPECT_THAT(sink_.steps, IsEmpty());
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("is finished")));
}

TEST_F(TrainingRunTest, WarnsOfManyPassesWithTheStepsToSet) {
  EXPECT_EQ(run({"--dry_run", "--max_iters=100000"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.warnings, Contains(AllOf(HasSubstr("only memorises"), HasSubstr("--max_iters"))));
}

TEST_F(TrainingRunTest, ShortensAWarmUpAsLongAsTheRunAndSaysSo) {
  EXPECT_EQ(run({"--dry_run", "--warmup_iters=100", "--lr_decay_iters=0"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("warmup_iters is 0 instead of 100: the run has 8 steps")));
}

TEST_F(TrainingRunTest, SaysThatAPresetOnlyNamesARunThatGoesOn) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  test_support::write_all(directory_.path() / "preset.json", "{\"n_layer\": 1}");
  EXPECT_EQ(run({"--resume", "--config", (directory_.path() / "preset.json").string()}), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("preset.json"), HasSubstr("run_config.json"))));
}

TEST_F(TrainingRunTest, OverwritingReplacesTheRun) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  EXPECT_EQ(run({"--overwrite", "--max_iters=4", "--lr_decay_iters=4"}), RunStatus::kFinished);
  EXPECT_THAT(checkpoints(), ElementsAre("step-00000004"));
}

TEST_F(TrainingRunTest, TrainsWithoutAHeldOutTextAndWarns) {
  EXPECT_EQ(run({"--val_fraction=0"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.evaluations, IsEmpty());
  EXPECT_THAT(sink_.warnings, Contains(HasSubstr("no text is held out")));
}

TEST_F(TrainingRunTest, EvaluatesOnAHeldOutTextShorterThanAWindow) {
  test_support::write_all(directory_.path() / "val.txt", "ba co");
  EXPECT_EQ(run({"--val_input=" + (directory_.path() / "val.txt").string()}), RunStatus::kFinished);
  EXPECT_EQ(sink_.evaluations.front().num_tokens, 4);
}

TEST_F(TrainingRunTest, ChoosesTheBatchThatFitsAndKeepsItWhenItGoesOn) {
  EXPECT_EQ(run({"--batch_size=auto", "--total_batch_size=64", "--grad_accum_steps=1", "--max_memory=2MB"}),
            RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("8 steps of 64 tokens (4 x 16 x 1)")));
  TrainConfig saved;
  apply_config_file(saved, run_config_path(folder()));
  EXPECT_EQ(saved.batch_size, 4);
}

TEST_F(TrainingRunTest, LearnsFromSeveralTextsAndGoesOnWithThem) {
  const std::string folder_of_texts = (directory_.path() / "texts").string();
  fs::create_directories(folder_of_texts);
  for (int i = 0; i < 3; ++i) {
    test_support::write_all(fs::path(folder_of_texts) / fmt::format("{}.txt", i),
                            tiny_text(3000, static_cast<std::uint64_t>(i)));
  }
  const std::string input = (directory_.path() / "input.txt").string();
  const std::vector<std::string> inputs = {"--input", input, folder_of_texts};
  stop_at_ = 3;
  EXPECT_EQ(run(inputs), RunStatus::kInterrupted);
  EXPECT_THAT(sink_.lines,
              Contains(AllOf(HasSubstr(input + ", " + folder_of_texts + " (4 documents)"), HasSubstr("held out"))));
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("no end of text")));
  stop_at_ = -1;
  sink_ = {};
  const std::vector<std::string> flags = {"--resume", "--out_dir=" + (directory_.path() / "runs").string(), "--model_name=run"};
  EXPECT_EQ(run_training(parse_train_command_line(flags), files_, sink_, [] { return false; }), RunStatus::kFinished);
  EXPECT_EQ(sink_.steps.front().step, 3);
  test_support::write_all(fs::path(folder_of_texts) / "3.txt", tiny_text(300, 9));
  EXPECT_THAT(refused({"--resume", "--max_iters=16", "--lr_decay_iters=16", "--input", input, folder_of_texts}),
              AllOf(HasSubstr("other data"), HasSubstr(input + ", " + folder_of_texts)));
}

TEST_F(TrainingRunTest, LearnsFromTokenFiles) {
  const auto tokenizer = make_tokenizer("char", tiny_text());
  const fs::path tokens = directory_.path() / "tokens";
  fs::create_directories(tokens / "train");
  for (int i = 0; i < 2; ++i) {
    write_token_file(files_, tokens / "train" / fmt::format("{}.bin", i), TokenFileFormat::kNanoGpt, *tokenizer,
                     tokenizer->encode(tiny_text(3000, 1 + static_cast<std::uint64_t>(i))), 3000);
  }
  for (const auto& file : tokenizer->files()) test_support::write_all(tokens / file.name, file.content);
  EXPECT_EQ(run({"--input=" + (tokens / "train").string(), "--tokenizer=" + tokens.string()}), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("do not name their tokenizer")));
  EXPECT_EQ(load_tokenizer(folder() / "step-00000008")->fingerprint(), tokenizer->fingerprint());
}

TEST_F(TrainingRunTest, PassesGoOnBitForBit) {
  EXPECT_EQ(run({"--sampling=epoch", "--model_name=whole"}), RunStatus::kFinished);
  stop_at_ = 3;
  EXPECT_EQ(run({"--sampling=epoch"}), RunStatus::kInterrupted);
  stop_at_ = -1;
  EXPECT_EQ(run({"--resume"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.warnings, Not(Contains(HasSubstr("passes"))));
  const auto hash = [&](const char* name) {
    return sha256_of_file(directory_.path() / "runs" / name / "step-00000008" / "model.safetensors");
  };
  EXPECT_EQ(hash("run"), hash("whole"));
  EXPECT_EQ(run({"--model_name=random"}), RunStatus::kFinished);
  EXPECT_NE(hash("random"), hash("whole"));
}

TEST_F(TrainingRunTest, SaysWhenPassesGoOnWithAnotherBatch) {
  EXPECT_EQ(run({"--sampling=epoch"}), RunStatus::kFinished);
  EXPECT_EQ(run({"--resume", "--max_iters=9", "--lr_decay_iters=9", "--batch_size=4"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.warnings, Contains(AllOf(HasSubstr("total_batch_size is 128"), HasSubstr("passes"))));
}

TEST_F(TrainingRunTest, SearchesForTheBestAnewWhenTheHeldOutTextChanged) {
  const std::string val = (directory_.path() / "val.txt").string();
  test_support::write_all(val, tiny_text(500, 5));
  EXPECT_EQ(run({"--val_input=" + val}), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("to evaluate on, held out as " + val)));
  EXPECT_EQ(run({"--resume", "--max_iters=9", "--lr_decay_iters=9"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.warnings, Not(Contains(HasSubstr("held-out text is another"))));
  test_support::write_all(val, tiny_text(500, 6));
  EXPECT_EQ(run({"--resume", "--max_iters=10", "--lr_decay_iters=10"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.warnings, Contains(HasSubstr("held-out text is another")));
  ASSERT_FALSE(sink_.evaluations.empty());
  EXPECT_TRUE(sink_.evaluations.front().is_best);
}

TEST_F(TrainingRunTest, KeepsTokensInACacheWhenAsked) {
  const std::string cache = (directory_.path() / "cache").string();
  EXPECT_EQ(run({"--cache_dir=" + cache, "--dry_run"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines.back(), HasSubstr("nothing was written but the token cache"));
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("kept in the cache " + cache)));
  EXPECT_EQ(run({"--cache_dir=" + cache}), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("taken from the cache " + cache)));
  const std::string cached = sha256_of_file(folder() / "step-00000008" / "model.safetensors");
  EXPECT_EQ(run({"--overwrite", "--cache_dir=none"}), RunStatus::kFinished);
  EXPECT_EQ(sha256_of_file(folder() / "step-00000008" / "model.safetensors"), cached);
  EXPECT_FALSE(fs::exists(directory_.path() / "runs" / kTokenCacheFolder)) << "a short text is not worth it";
}

TEST_F(TrainingRunTest, TakesNulBytesWhenForcedAndWhenItGoesOn) {
  std::string text = tiny_text();
  text[100] = '\0';
  test_support::write_all(directory_.path() / "input.txt", text);
  EXPECT_THAT(refused({}), AllOf(HasSubstr("NUL byte at offset 100"), HasSubstr("--force")));
  EXPECT_EQ(run({"--force"}), RunStatus::kFinished);
  EXPECT_EQ(run({"--resume", "--max_iters=9", "--lr_decay_iters=9"}), RunStatus::kFinished);
}

TEST_F(TrainingRunTest, KeepsTheTokenCachesFolderForItself) {
  EXPECT_THAT(user_error_of([&] { (void)command_line({"--model_name=token_cache"}); }), HasSubstr("token cache"));
  EXPECT_THAT(user_error_of([&] { (void)command_line({"--cache_dir="}); }), HasSubstr("auto, none"));
}

}  // namespace
}  // namespace virgil
