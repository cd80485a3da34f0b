#include "virgil/train/training_run.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "support/user_error.h"
#include "train/tiny_run.h"
#include "virgil/base/directory_lock.h"
#include "virgil/base/progress.h"
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

class TrainingRunTest : public testing::Test {
 protected:
  TrainingRunTest() { test_support::write_all(directory_.path() / "input.txt", tiny_text()); }

  /// The command line of a tiny run; later flags win.
  [[nodiscard]] CommandLine command_line(const std::vector<std::string>& flags) const {
    const TrainConfig tiny = test_support::tiny_config(directory_.path());
    std::vector<std::string> arguments;
    for (const ConfigKey& key : config_keys()) {
      if (!key.saved || key.name == "recompute") continue;
      std::visit(
          [&](auto member) {
            if (tiny.*member == TrainConfig{}.*member) return;
            if constexpr (std::is_same_v<decltype(member), std::vector<std::string> TrainConfig::*>) {
              arguments.push_back(fmt::format("--{}={}", key.name, (tiny.*member).front()));
            } else {
              arguments.push_back(fmt::format("--{}={}", key.name, tiny.*member));
            }
          },
          key.member);
    }
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return parse_train_command_line(arguments);
  }

  RunStatus run(const std::vector<std::string>& flags) {
    sink_ = {};
    return run_training(command_line(flags), files_, sink_, [this] { return stop_at_ == std::ssize(sink_.steps); });
  }

  std::string refused(const std::vector<std::string>& flags) {
    const auto before = tree();
    const std::string message = user_error_of([&] { (void)run(flags); });
    EXPECT_EQ(tree(), before) << "a refused run must write nothing: " << message;
    EXPECT_THAT(sink_.steps, IsEmpty());
    return message;
  }

  /// Every file below the test's folder with its hash.
  [[nodiscard]] std::map<std::string, std::string> tree() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(directory_.path())) {
      files[entry.path().string()] = entry.is_directory() ? "" : sha256_of_file(entry.path());
    }
    return files;
  }

  [[nodiscard]] fs::path folder() const { return directory_.path() / "runs" / "run"; }
  [[nodiscard]] std::vector<std::string> checkpoints() const {
    std::vector<std::string> names;
    for (const auto& path : list_step_checkpoints(folder())) names.push_back(path.filename().string());
    return names;
  }

  test_support::TemporaryDirectory directory_;
  test_support::UnsyncedFileSystem files_;
  test_support::RecordingSink sink_;
  std::unique_ptr<ProcessGroup> group_ = make_single_process_group();
  std::int64_t stop_at_ = -1;  // steps of one call after which it is asked to stop
};

TEST_F(TrainingRunTest, TrainsAndSaysWhatItDoes) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  EXPECT_EQ(sink_.steps.size(), 8U);
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("model"), HasSubstr("parameters"))));
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("tokens per parameter"), HasSubstr("held out"))));
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("8 steps of 64 tokens"), HasSubstr("epochs"))));
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("planned"), HasSubstr("optimizer"), HasSubstr("activations"))));
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("cpu: 1 thread,")));
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("time     "), HasSubstr("by a timed micro-step"))));
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("finished at step 8"), HasSubstr("step-00000008"))));
  EXPECT_THAT(sink_.warnings, Contains(HasSubstr("fewer tokens than parameters")));
  EXPECT_THAT(checkpoints(), ElementsAre("step-00000008"));
}

TEST_F(TrainingRunTest, EndsWithThePlanBesideReality) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  for (const char* category : {"weights", "gradients", "optimizer", "activations", "logits", "workspace", "data", "total"}) {
    EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr(category), testing::EndsWith("  equal"))));
  }
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("the plan cannot know")));
  for (const StepMetrics& step : sink_.steps) {
    EXPECT_EQ(step.memory.planned_by_category, step.memory.by_category);
    EXPECT_EQ(step.memory.peak_by_category, step.memory.by_category);
    EXPECT_GT(step.memory.process_before_bytes, 0);
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
  EXPECT_THAT(sink_.lines.back(),
              AllOf(HasSubstr("stopped at step 3"), HasSubstr("train --resume --out_dir"), HasSubstr("--model_name run")));
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
  EXPECT_THAT(steps, ElementsAre("{\"step\":0", "{\"step\":1", "{\"step\":2", "{\"step\":3", "{\"step\":4", "{\"step\":5",
                                 "{\"step\":6", "{\"step\":7", "{\"step\":8"));
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

// --- Stops
// --------------------------------------------------------------------------------------------------------------------

/// Asks for a stop at one of the questions, or never; keeps what a stop would have led to then.
class StoppingMonitor final : public ProgressMonitor {
 public:
  explicit StoppingMonitor(std::int64_t stop_at) : stop_at_(stop_at) {}
  bool stop_requested() override {
    ++num_questions;
    if (stop_at_ > 0 && num_questions == stop_at_) outcome_at_stop = outcome_;
    return stop_at_ > 0 && num_questions >= stop_at_;
  }
  void report(const PhaseProgress& progress) override {
    if (phases.empty() || phases.back() != progress.name) phases.emplace_back(progress.name);
  }
  void foresee_stop(std::string_view, std::string_view outcome, bool) override { outcome_ = outcome; }

  std::int64_t num_questions = 0;
  std::string outcome_at_stop;
  std::vector<std::string> phases;

 private:
  std::int64_t stop_at_;
  std::string outcome_;
};

TEST_F(TrainingRunTest, StopsInEveryPhaseAndOverwritesNothingBeforeTheFirstStep) {
  ASSERT_EQ(run({"--sample_interval=0"}), RunStatus::kFinished);
  const auto before = tree();
  const auto stopped_at = [&](StoppingMonitor& monitor) {
    sink_ = {};
    return run_training(command_line({"--overwrite", "--sample_interval=0", "--seed=5", "--tokenizer=bpe:270"}), files_, sink_,
                        monitor, *group_);
  };
  bool was_early = true;
  for (std::int64_t at = 1; was_early; ++at) {
    StoppingMonitor monitor(at);
    ASSERT_EQ(stopped_at(monitor), RunStatus::kInterrupted) << at;
    was_early = monitor.outcome_at_stop.find("nothing to keep") != std::string::npos;
    if (!was_early) {
      EXPECT_THAT(monitor.phases, testing::IsSupersetOf({"reading", "training the vocabulary", "tokenizing", "evaluating"}));
      // How often work is timed before the first step, and so how many questions precede it, depends on the machine: this stop
      // may come a step later.
      ASSERT_EQ(checkpoints().size(), 1U);
      const long long step = std::stoll(checkpoints().front().substr(std::string("step-").size()));
      EXPECT_GE(step, 1);
      EXPECT_THAT(sink_.lines, Contains(HasSubstr("stopped at step " + std::to_string(step))));
      break;
    }
    EXPECT_EQ(tree(), before) << at;
    EXPECT_THAT(sink_.lines.back(), HasSubstr("none was overwritten"));
  }
}

TEST_F(TrainingRunTest, LeavesNoFolderWhenItIsStoppedBeforeTheFirstStep) {
  const auto before = tree();
  bool evaluated = false;
  for (std::int64_t at = 1; !evaluated; ++at) {
    StoppingMonitor monitor(at);
    ASSERT_EQ(run_training(command_line({}), files_, sink_, monitor, *group_), RunStatus::kInterrupted) << at;
    evaluated = std::ranges::find(monitor.phases, "evaluating") != monitor.phases.end();
    EXPECT_TRUE(!fs::exists(directory_.path() / "runs") || fs::is_empty(directory_.path() / "runs")) << at;
    fs::remove(directory_.path() / "runs");
    EXPECT_EQ(tree(), before) << at;
  }
}

TEST_F(TrainingRunTest, MakesUpForTheLastEvaluationThatWasStopped) {
  ASSERT_EQ(run({"--sample_interval=0"}), RunStatus::kFinished);
  const std::vector<EvalMetrics> whole = sink_.evaluations;
  bool in_last = false;
  const auto stop = [&] {
    in_last = in_last || sink_.steps.size() == 8;
    return in_last;
  };
  sink_ = {};
  ASSERT_EQ(run_training(command_line({"--overwrite", "--sample_interval=0"}), files_, sink_, stop), RunStatus::kInterrupted);
  EXPECT_THAT(checkpoints(), ElementsAre("step-00000008"));
  EXPECT_EQ(sink_.evaluations.size() + 1, whole.size());
  ASSERT_EQ(run({"--resume"}), RunStatus::kFinished);
  ASSERT_EQ(sink_.evaluations.size(), 1U);
  EXPECT_EQ(sink_.evaluations.back().loss, whole.back().loss);
  ASSERT_EQ(run({"--resume"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.evaluations, IsEmpty()) << "once";
}

// --- What is told before the start
// ----------------------------------------------------------------------------------------------

/// With a disk of which so much is free.
class SmallDisk final : public FileSystem {
 public:
  SmallDisk(FileSystem& real, std::int64_t free_bytes) : real_(real), free_bytes_(free_bytes) {}
  std::unique_ptr<WritableFile> create(const fs::path& path) override { return real_.create(path); }
  std::unique_ptr<WritableFile> open_for_append(const fs::path& path) override { return real_.open_for_append(path); }
  void create_directories(const fs::path& path) override { real_.create_directories(path); }
  void rename(const fs::path& from, const fs::path& to) override { real_.rename(from, to); }
  void remove_all(const fs::path& path) override { real_.remove_all(path); }
  void sync_directory(const fs::path& path) override { real_.sync_directory(path); }
  [[nodiscard]] std::optional<std::int64_t> available_bytes(const fs::path&) const override { return free_bytes_; }

 private:
  FileSystem& real_;
  std::int64_t free_bytes_;
};

TEST_F(TrainingRunTest, RefusesADiskWithoutRoomForACheckpoint) {
  SmallDisk disk(files_, 100'000);
  for (const char* dry : {"--dry_run", "--no_dry_run"}) {
    const std::string message =
        user_error_of([&] { (void)run_training(command_line({dry}), disk, sink_, [] { return false; }); });
    EXPECT_THAT(message, AllOf(HasSubstr("a checkpoint takes"), HasSubstr("97.7 KiB free"), HasSubstr("out_dir")));
  }
  EXPECT_FALSE(fs::exists(directory_.path() / "runs"));
}

TEST_F(TrainingRunTest, WarnsOfADiskThatWillBeFull) {
  const auto warnings = [&](std::int64_t free_bytes, const std::vector<std::string>& flags) {
    SmallDisk disk(files_, free_bytes);
    sink_ = {};
    EXPECT_EQ(run_training(command_line(flags), disk, sink_, [] { return false; }), RunStatus::kFinished);
    EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("disk     up to"), HasSubstr("is free"))));
    return sink_.warnings;
  };
  const std::string full = "the disk will be full before the run's end";
  // A checkpoint takes 0.4 MB. Of keep_last 0 all nine stand, with the best and what is being written.
  EXPECT_THAT(warnings(2'000'000, {"--dry_run", "--save_interval=1", "--keep_last=0"}), Contains(HasSubstr(full)));
  EXPECT_THAT(warnings(2'000'000, {"--dry_run", "--save_interval=1", "--keep_last=1"}), Not(Contains(HasSubstr(full))));
  EXPECT_THAT(warnings(2'000'000, {"--dry_run", "--save_interval=1", "--keep_last=9"}),
              Contains(AllOf(HasSubstr(full), HasSubstr("set keep_last to 3"))));
  EXPECT_THAT(warnings(500'000, {"--dry_run", "--eval_interval=0"}), Not(Contains(HasSubstr(full))));
}

TEST_F(TrainingRunTest, WarnsOfAHeldOutTextTooSmallToJudgeBy) {
  EXPECT_EQ(run({"--val_fraction=0.01"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.warnings, Contains(AllOf(HasSubstr("too few to judge by"), HasSubstr("set val_fraction to at least 0.0"))));
  const std::string val = (directory_.path() / "val.txt").string();
  test_support::write_all(val, "ba codi");
  EXPECT_EQ(run({"--overwrite", "--val_input=" + val}), RunStatus::kFinished);
  EXPECT_THAT(sink_.warnings, Contains(AllOf(HasSubstr("6 predictions"), HasSubstr("give a val_input of at least 301"))));
  test_support::write_all(val, "b");
  const std::string message = refused({"--overwrite", "--val_input=" + val});
  EXPECT_THAT(message, AllOf(HasSubstr("val_input"), Not(HasSubstr("val_fraction"))));
}

TEST_F(TrainingRunTest, SaysWhatEvaluationsCover) {
  EXPECT_EQ(run({"--dry_run", "--eval_iters=auto"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("eval     on all of the held-out text")));
  EXPECT_EQ(run({"--dry_run", "--eval_iters=2"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("eval     on 4 of "), HasSubstr("--eval_iters all"))));
}

// --- Refusals: before anything is written -----------------------------------------------------------------------------------

TEST_F(TrainingRunTest, RefusesAFolderThatHoldsARun) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  EXPECT_THAT(refused({}), AllOf(HasSubstr(folder().string()), HasSubstr("--resume"), HasSubstr("--overwrite")));
}

TEST_F(TrainingRunTest, RefusesAFolderThatAnotherProcessTrainsIn) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  const DirectoryLock other(folder());
  EXPECT_THAT(refused({"--resume", "--max_iters=12"}), AllOf(HasSubstr(folder().string()), HasSubstr("another process")));
  EXPECT_THAT(refused({"--overwrite"}), HasSubstr("another process"));
}

TEST_F(TrainingRunTest, HoldsItsFolderWhileItTrains) {
  std::string message;
  const auto stop = [&] {
    if (sink_.steps.empty()) return false;
    message = user_error_of([&] { const DirectoryLock other(folder()); });
    return true;
  };
  EXPECT_EQ(run_training(command_line({}), files_, sink_, stop), RunStatus::kInterrupted);
  EXPECT_THAT(message, HasSubstr("another process"));
  EXPECT_NO_THROW(const DirectoryLock free(folder()));
}

TEST_F(TrainingRunTest, RefusesDevicesAndTypesThisBuildLacks) {
  EXPECT_THAT(refused({"--device=cuda"}), AllOf(HasSubstr("cuda"), HasSubstr("--device cpu")));
  EXPECT_THAT(refused({"--dtype=float16"}), AllOf(HasSubstr("float16"), HasSubstr("computes in"), HasSubstr("float32")));
}

TEST_F(TrainingRunTest, RefusesAPlanLargerThanTheMemoryItMayUse) {
  const std::string message = refused({"--max_memory=1KB"});
  EXPECT_THAT(message, AllOf(HasSubstr("max_memory is 1KB"), HasSubstr("adamw.m"), HasSubstr("activation arena")));
  EXPECT_THAT(message, AllOf(HasSubstr("batch_size 1"), HasSubstr("grad_accum_steps")));
}

TEST_F(TrainingRunTest, RefusesTextsThatAreMissingOrTooShort) {
  EXPECT_THAT(refused({"--input="}), HasSubstr("--input"));
  EXPECT_THAT(refused({"--input=absent.txt"}), HasSubstr("absent.txt"));
  EXPECT_THAT(refused({"--block_size=10000"}), AllOf(HasSubstr("block_size"), HasSubstr("10001")));
  test_support::write_all(directory_.path() / "val.txt", "b");
  EXPECT_THAT(refused({"--val_input=" + (directory_.path() / "val.txt").string()}), HasSubstr("has 1 token,"));
}

TEST_F(TrainingRunTest, RefusesAnEmptySamplePrompt) { EXPECT_THAT(refused({"--sample_prompt="}), HasSubstr("sample_prompt")); }

TEST_F(TrainingRunTest, RefusesAVocabularySmallerThanTheTokenizers) {
  EXPECT_THAT(refused({"--vocab_size=10"}), AllOf(HasSubstr("vocab_size is 10"), HasSubstr("char")));
}

TEST_F(TrainingRunTest, RefusesNoStepsAtAll) {
  EXPECT_THAT(user_error_of([&] { (void)command_line({"--max_iters=0"}); }), HasSubstr("max_iters"));
}

TEST_F(TrainingRunTest, RefusesToGoOnWithAnotherModelKeyByKey) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  const std::map<std::string, std::string> changes = {{"n_layer", "3"},    {"n_head", "4"},      {"n_embd", "48"},
                                                      {"block_size", "8"}, {"vocab_size", "99"}, {"d_ff", "64"}};
  for (const auto& [key, value] : changes) {
    EXPECT_THAT(refused({"--resume", "--max_iters=16", "--lr_decay_iters=16", "--" + key + "=" + value}),
                AllOf(HasSubstr("step-00000008"), HasSubstr(key + " is"), HasSubstr(value), HasSubstr("set \"" + key + "\"")));
  }
  EXPECT_THAT(refused({"--resume", "--max_iters=16", "--lr_decay_iters=16", "--bias"}), HasSubstr("bias is false"));
  EXPECT_THAT(refused({"--resume", "--max_iters=16", "--lr_decay_iters=16", "--no_tie_weights"}),
              HasSubstr("tie_weights is true"));
}

TEST_F(TrainingRunTest, RefusesToGoOnWithOtherData) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  EXPECT_THAT(refused({"--resume", "--max_iters=16", "--lr_decay_iters=16", "--val_fraction=0.2"}),
              AllOf(HasSubstr("other data"), HasSubstr("val_fraction")));
  test_support::write_all(directory_.path() / "input.txt", tiny_text(6000, 2));
  EXPECT_THAT(refused({"--resume", "--max_iters=16", "--lr_decay_iters=16"}),
              AllOf(HasSubstr("other data"), HasSubstr("input")));
}

TEST_F(TrainingRunTest, RefusesToGoOnFromADamagedCheckpoint) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  test_support::write_all(folder() / "step-00000008" / "optimizer.safetensors", "damaged");
  EXPECT_THAT(refused({"--resume", "--max_iters=16"}), AllOf(HasSubstr("optimizer.safetensors"), HasSubstr("--overwrite")));
}

TEST_F(TrainingRunTest, RefusesToGoOnWithoutARun) { EXPECT_THAT(refused({"--resume"}), HasSubstr("no run to resume")); }

TEST_F(TrainingRunTest, KeepsTheOldRunWhenOverwritingIsRefused) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  (void)refused({"--overwrite", "--max_memory=1KB"});
  (void)refused({"--overwrite", "--sample_prompt="});
  (void)refused({"--overwrite", "--device=cuda"});
}

}  // namespace
}  // namespace virgil
