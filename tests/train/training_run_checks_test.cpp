#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/user_error.h"
#include "train/training_run_fixture.h"
#include "virgil/base/directory_lock.h"
#include "virgil/base/file_system.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;
using test_support::tiny_text;
using test_support::user_error_of;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

class TrainingRunChecks : public test_support::TrainingRunFixture {};

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

TEST_F(TrainingRunChecks, RefusesADiskWithoutRoomForACheckpoint) {
  SmallDisk disk(files_, 100'000);
  for (const char* dry : {"--dry_run", "--no_dry_run"}) {
    const std::string message =
        user_error_of([&] { (void)run_training(command_line({dry}), disk, sink_, [] { return false; }); });
    EXPECT_THAT(message, AllOf(HasSubstr("a checkpoint takes"), HasSubstr("97.7 KiB free"), HasSubstr("out_dir")));
  }
  EXPECT_FALSE(fs::exists(directory_.path() / "runs"));
}

TEST_F(TrainingRunChecks, WarnsOfADiskThatWillBeFull) {
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

TEST_F(TrainingRunChecks, WarnsOfAHeldOutTextTooSmallToJudgeBy) {
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

TEST_F(TrainingRunChecks, SaysWhatEvaluationsCover) {
  EXPECT_EQ(run({"--dry_run", "--eval_iters=auto"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("eval     on all of the held-out text")));
  EXPECT_EQ(run({"--dry_run", "--eval_iters=2"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("eval     on 4 of "), HasSubstr("--eval_iters all"))));
}

TEST_F(TrainingRunChecks, RefusesAFolderThatHoldsARun) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  EXPECT_THAT(refused({}), AllOf(HasSubstr(folder().string()), HasSubstr("--resume"), HasSubstr("--overwrite")));
}

TEST_F(TrainingRunChecks, RefusesAFolderThatAnotherProcessTrainsIn) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  const DirectoryLock other(folder());
  EXPECT_THAT(refused({"--resume", "--max_iters=12"}), AllOf(HasSubstr(folder().string()), HasSubstr("another process")));
  EXPECT_THAT(refused({"--overwrite"}), HasSubstr("another process"));
}

TEST_F(TrainingRunChecks, HoldsItsFolderWhileItTrains) {
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

TEST_F(TrainingRunChecks, RefusesDevicesAndTypesThisBuildLacks) {
  EXPECT_THAT(refused({"--device=cuda"}), AllOf(HasSubstr("cuda"), HasSubstr("--device cpu")));
  EXPECT_THAT(refused({"--dtype=float16"}), AllOf(HasSubstr("float16"), HasSubstr("computes in"), HasSubstr("float32")));
}

TEST_F(TrainingRunChecks, RefusesAPlanLargerThanTheMemoryItMayUse) {
  const std::string message = refused({"--max_memory=1KB"});
  EXPECT_THAT(message, AllOf(HasSubstr("max_memory is 1KB"), HasSubstr("adamw.m"), HasSubstr("activation arena")));
  EXPECT_THAT(message, AllOf(HasSubstr("batch_size 1"), HasSubstr("grad_accum_steps")));
}

TEST_F(TrainingRunChecks, RefusesTextsThatAreMissingOrTooShort) {
  EXPECT_THAT(refused({"--input="}), HasSubstr("--input"));
  EXPECT_THAT(refused({"--input=absent.txt"}), HasSubstr("absent.txt"));
  EXPECT_THAT(refused({"--block_size=10000"}), AllOf(HasSubstr("block_size"), HasSubstr("10001")));
  test_support::write_all(directory_.path() / "val.txt", "b");
  EXPECT_THAT(refused({"--val_input=" + (directory_.path() / "val.txt").string()}), HasSubstr("has 1 token,"));
}

TEST_F(TrainingRunChecks, RefusesAnEmptySamplePrompt) {
  EXPECT_THAT(refused({"--sample_prompt="}), HasSubstr("sample_prompt"));
}

TEST_F(TrainingRunChecks, RefusesAVocabularySmallerThanTheTokenizers) {
  EXPECT_THAT(refused({"--vocab_size=10"}), AllOf(HasSubstr("vocab_size is 10"), HasSubstr("char")));
}

TEST_F(TrainingRunChecks, RefusesNoStepsAtAll) {
  EXPECT_THAT(user_error_of([&] { (void)command_line({"--max_iters=0"}); }), HasSubstr("max_iters"));
}

TEST_F(TrainingRunChecks, RefusesToGoOnWithAnotherModelKeyByKey) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  const std::map<std::string, std::string> changes = {{"n_layer", "3"},    {"n_head", "4"},      {"n_embd", "48"},
                                                      {"block_size", "8"}, {"vocab_size", "99"}, {"d_ff", "64"}};
  for (const auto& [key, value] : changes) {
    EXPECT_THAT(refused({"--resume", "--max_iters=16", "--lr_decay_iters=16", "--" + key + "=" + value}),
                AllOf(HasSubstr("step-00000008"), HasSubstr(key + " is"), HasSubstr("to " + value),
                      HasSubstr("leave --" + key + " out")));
  }
  EXPECT_THAT(refused({"--resume", "--max_iters=16", "--lr_decay_iters=16", "--bias"}),
              AllOf(HasSubstr("bias is false"), HasSubstr("leave --bias out")));
  EXPECT_THAT(refused({"--resume", "--max_iters=16", "--lr_decay_iters=16", "--no_tie_weights"}),
              AllOf(HasSubstr("tie_weights is true"), HasSubstr("leave --no_tie_weights out")));
}

TEST_F(TrainingRunChecks, ResumingWithAMovedTextNamesTheCommandAsItWasStarted) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  const std::string input = (directory_.path() / "input.txt").string();
  std::filesystem::remove(input);
  CommandLine line = command_line({"--resume", "--max_iters=16"});
  line.program_folder = "my build/";
  EXPECT_THAT(
      user_error_of([&] { (void)start(line); }),
      AllOf(HasSubstr(input), HasSubstr("give its new path: 'my build/train' --resume --out_dir "), HasSubstr("--input PATH")));
}

TEST_F(TrainingRunChecks, WithTheOnlyCheckpointDamagedOffersTheBest) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  test_support::write_all(folder() / "step-00000008" / "optimizer.safetensors", "damaged");
  CommandLine line = command_line({"--resume", "--max_iters=16"});
  line.program_folder = "build/";
  const std::string best = (folder() / "best").string();
  EXPECT_THAT(user_error_of([&] { (void)start(line); }),
              AllOf(HasSubstr("best is intact"), HasSubstr("build/train --init_from " + best + " --input "),
                    HasSubstr("--model_name run-new"), HasSubstr("--overwrite")));
  test_support::write_all(folder() / "best" / "model.safetensors", "damaged");
  EXPECT_THAT(user_error_of([&] { (void)start(line); }),
              AllOf(testing::Not(HasSubstr("intact")), HasSubstr("start again with --overwrite")));
}

TEST_F(TrainingRunChecks, RefusesToGoOnWithOtherData) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  EXPECT_THAT(refused({"--resume", "--max_iters=16", "--lr_decay_iters=16", "--val_fraction=0.2"}),
              AllOf(HasSubstr("other data"), HasSubstr("val_fraction")));
  test_support::write_all(directory_.path() / "input.txt", tiny_text(6000, 2));
  EXPECT_THAT(refused({"--resume", "--max_iters=16", "--lr_decay_iters=16"}),
              AllOf(HasSubstr("other data"), HasSubstr("input")));
}

TEST_F(TrainingRunChecks, RefusesToGoOnFromADamagedCheckpoint) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  test_support::write_all(folder() / "step-00000008" / "optimizer.safetensors", "damaged");
  EXPECT_THAT(refused({"--resume", "--max_iters=16"}), AllOf(HasSubstr("optimizer.safetensors"), HasSubstr("--overwrite")));
}

TEST_F(TrainingRunChecks, RefusesToGoOnWithoutARun) { EXPECT_THAT(refused({"--resume"}), HasSubstr("no run to resume")); }

TEST_F(TrainingRunChecks, KeepsTheOldRunWhenOverwritingIsRefused) {
  EXPECT_EQ(run({}), RunStatus::kFinished);
  (void)refused({"--overwrite", "--max_memory=1KB"});
  (void)refused({"--overwrite", "--sample_prompt="});
  (void)refused({"--overwrite", "--device=cuda"});
}

}  // namespace
}  // namespace virgil
