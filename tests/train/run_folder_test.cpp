#include "virgil/train/run_folder.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "format/checkpoint_fixture.h"
#include "support/faulty_file_system.h"
#include "support/user_error.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;
using test_support::read_all;
using test_support::user_error_of;
using test_support::write_all;
using testing::AllOf;
using testing::HasSubstr;

class RunFolder : public test_support::CheckpointFixture {
 protected:
  RunFolder() {
    config_.out_dir = (directory_.path() / "runs").string();
    config_.model_name = "dante";
    run_ = run_folder(config_);
  }

  CommandLine command_line(const std::vector<std::string>& flags) const {
    std::vector<std::string> arguments = {"--out_dir=" + config_.out_dir, "--model_name=dante", "--resume"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return parse_train_command_line(arguments);
  }

  void save(std::int64_t step) { save_checkpoint(*posix_, run_ / step_checkpoint_name(step), make_contents(step)); }

  std::unique_ptr<FileSystem> posix_ = make_posix_file_system();
  TrainConfig config_;
  fs::path run_;
};

TEST_F(RunFolder, IsTheModelsNameInOutDir) {
  EXPECT_EQ(run_, directory_.path() / "runs" / "dante");
  EXPECT_EQ(metrics_path(run_), run_ / "metrics.jsonl");
}

TEST_F(RunFolder, IsMadeAndHoldsTheConfigAsGiven) {
  config_.n_layer = 3;
  prepare_run_folder(*posix_, config_);
  TrainConfig read;
  apply_config_file(read, run_config_path(run_));
  EXPECT_EQ(read, config_);
}

TEST_F(RunFolder, ThatHoldsARunIsRefusedUnasked) {
  EXPECT_NO_THROW(check_run_folder(config_));
  fs::create_directories(run_);
  EXPECT_NO_THROW(check_run_folder(config_)) << "an empty folder";
  write_all(run_ / "notes.txt", "mine");
  EXPECT_NO_THROW(check_run_folder(config_)) << "nothing of a run's";
  prepare_run_folder(*posix_, config_);
  EXPECT_THAT(user_error_of([&] { check_run_folder(config_); }),
              AllOf(HasSubstr(run_.string()), HasSubstr("--resume"), HasSubstr("--overwrite")));
  config_.overwrite = true;
  EXPECT_NO_THROW(check_run_folder(config_));
  config_.resume = true;
  EXPECT_THAT(user_error_of([&] { check_run_folder(config_); }), HasSubstr("--overwrite"));
}

TEST_F(RunFolder, IsKnownByAnyFileOfARun) {
  for (const char* name :
       {"run_config.json", "metrics.jsonl", "step-00000500/x", "best/x", "best.old/x", "step-00000500.old/x"}) {
    fs::create_directories((run_ / name).parent_path());
    write_all(run_ / name, "");
    EXPECT_THROW(check_run_folder(config_), UserError) << name;
    fs::remove_all(run_);
  }
}

TEST_F(RunFolder, ThatIsAFileIsRefused) {
  fs::create_directories(run_.parent_path());
  write_all(run_, "");
  EXPECT_THAT(user_error_of([&] { check_run_folder(config_); }), HasSubstr("not a folder"));
}

TEST_F(RunFolder, OverwritingRemovesTheRunsFilesOnly) {
  prepare_run_folder(*posix_, config_);
  for (const char* name : {"metrics.jsonl", "notes.txt", "step-00000500/model.safetensors", "best/model.safetensors",
                           "best.old/model.safetensors", "step-00000400.old/model.safetensors", "best.tmp-123/config.json",
                           "step-by-step/mine", "stepping-stones/mine", "run_config.json.tmp-7", "other.tmp-7"}) {
    fs::create_directories((run_ / name).parent_path());
    write_all(run_ / name, "old");
  }
  config_.overwrite = true;
  config_.n_layer = 5;
  prepare_run_folder(*posix_, config_);
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(run_)) left.push_back(entry.path().filename().string());
  EXPECT_THAT(left, testing::UnorderedElementsAre("run_config.json", "run_config.sha256", "notes.txt", "step-by-step",
                                                  "stepping-stones", "other.tmp-7"));
  TrainConfig read;
  apply_config_file(read, run_config_path(run_));
  EXPECT_EQ(read.n_layer, 5);
}

TEST_F(RunFolder, OverwritingRefusesToRemoveWhatNoRunWrote) {
  config_.overwrite = true;
  for (const char* stranger : {"best/notes.txt", "step-00000005/plots/loss.png", "best.old/x", "metrics.jsonl/x"}) {
    save(5);
    fs::create_directories((run_ / stranger).parent_path());
    write_all(run_ / stranger, "mine");
    const auto refusal = AllOf(HasSubstr(fs::path(stranger).begin()->string()), HasSubstr("Nothing was removed"));
    EXPECT_THAT(user_error_of([&] { check_run_folder(config_); }), refusal) << stranger;
    EXPECT_THAT(user_error_of([&] { prepare_run_folder(*posix_, config_); }), refusal) << stranger;
    EXPECT_EQ(read_all(run_ / stranger), "mine");
    EXPECT_EQ(load_newest_checkpoint(run_).state.step, 5);
    fs::remove_all(run_);
  }
}

TEST_F(RunFolder, AnInterruptedOverwriteLeavesNoHalfCheckpoint) {
  config_.overwrite = true;
  for (std::int64_t n = 0; n < 30; ++n) {
    SCOPED_TRACE(n);
    fs::remove_all(run_);
    for (const std::int64_t step : {5, 10}) save(step);
    save_checkpoint(*posix_, run_ / "best", make_contents(5));
    test_support::FaultyFileSystem faulty(*posix_, test_support::FaultyFileSystem::Fault::kKill, n);
    prepare_run_folder(faulty, config_);
    for (const fs::path& path : list_step_checkpoints(run_)) EXPECT_NO_THROW((void)load_checkpoint(path));
    if (fs::exists(run_ / "best")) {
      EXPECT_NO_THROW((void)load_checkpoint(run_ / "best"));
    }
    prepare_run_folder(*posix_, config_);
    EXPECT_EQ(std::distance(fs::directory_iterator(run_), {}), 2) << "run_config.json and its hash";
  }
}

// One flipped bit of a digit is another configuration, and valid.
TEST_F(RunFolder, ResumingRefusesAConfigThatWasChanged) {
  prepare_run_folder(*posix_, config_);
  EXPECT_NO_THROW((void)load_run_config(command_line({})));
  const std::string good = read_all(run_config_path(run_));
  for (std::size_t i = 0; i < good.size(); i += 7) {
    std::string flipped = good;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    write_all(run_config_path(run_), flipped);
    EXPECT_THAT(user_error_of([&] { (void)load_run_config(command_line({})); }),
                AllOf(HasSubstr("run_config.json: has changed since the run wrote it"), HasSubstr("run_config.sha256")));
  }
  fs::remove(run_config_hash_path(run_));  // as the message says
  write_all(run_config_path(run_), good);
  EXPECT_NO_THROW((void)load_run_config(command_line({})));
}

TEST_F(RunFolder, TheHashIsRightWheneverTheProcessDies) {
  for (std::int64_t n = 0; n < 20; ++n) {
    SCOPED_TRACE(n);
    fs::remove_all(run_);
    config_.max_iters = 100;
    prepare_run_folder(*posix_, config_);
    config_.max_iters = 200;
    test_support::FaultyFileSystem faulty(*posix_, test_support::FaultyFileSystem::Fault::kKill, n);
    prepare_run_folder(faulty, config_);
    EXPECT_THAT(load_run_config(command_line({})).max_iters, testing::AnyOf(100, 200));
  }
}

TEST_F(RunFolder, WithoutAHashTellsWhatDiffersFromTheCheckpoint) {
  CheckpointContents contents = make_contents(5);
  TrainConfig trained = config_;
  resolve_config(trained);
  contents.state.config_json = config_to_json(trained);
  save_checkpoint(*posix_, run_ / step_checkpoint_name(5), contents);
  const LoadedCheckpoint checkpoint = load_newest_checkpoint(run_);
  config_.batch_size += 1;
  prepare_run_folder(*posix_, config_);
  EXPECT_EQ(describe_config_changes(run_, checkpoint, command_line({})), "") << "the hash is right";
  fs::remove(run_config_hash_path(run_));
  EXPECT_THAT(describe_config_changes(run_, checkpoint, command_line({})),
              HasSubstr(fmt::format(": batch_size is {}", config_.batch_size)));
  EXPECT_THAT(describe_config_changes(run_, checkpoint, command_line({"--batch_size=7"})),
              testing::Not(HasSubstr(": batch_size is")));
}

TEST_F(RunFolder, ResumingTakesTheSavedConfigUnderTheFlags) {
  config_.n_layer = 3;
  config_.max_iters = 100;
  config_.learning_rate = 0.5;
  prepare_run_folder(*posix_, config_);
  const TrainConfig merged = load_run_config(command_line({"--max_iters=200", "--dry_run"}));
  EXPECT_EQ(merged.n_layer, 3);
  EXPECT_EQ(merged.learning_rate, 0.5);
  EXPECT_EQ(merged.max_iters, 200);
  EXPECT_TRUE(merged.resume);
  EXPECT_TRUE(merged.dry_run);
  EXPECT_EQ(merged.out_dir, config_.out_dir);
}

TEST_F(RunFolder, ResumingTakesNothingButTheNameFromAPreset) {
  config_.n_layer = 3;
  prepare_run_folder(*posix_, config_);
  const fs::path preset = directory_.path() / "preset.json";
  write_all(preset, R"({"n_layer": 12, "max_iters": 7, "model_name": "dante"})");
  const TrainConfig merged = load_run_config(parse_train_command_line(
      std::vector<std::string>{"--resume", "--config", preset.string(), "--out_dir", config_.out_dir}));
  EXPECT_EQ(merged.n_layer, 3);
  EXPECT_EQ(merged.max_iters, TrainConfig{}.max_iters);
}

TEST_F(RunFolder, KeepsItsInputsByPathsFromTheRoot) {
  config_.input = {"poems/a.txt", "poems/*.txt"};
  config_.val_input = {"/elsewhere/v.txt"};
  config_.cache_dir = "tokens";
  prepare_run_folder(*posix_, config_);
  const TrainConfig merged = load_run_config(command_line({}));
  const std::string here = fs::current_path().string();
  EXPECT_THAT(merged.input, testing::ElementsAre(here + "/poems/a.txt", here + "/poems/*.txt"));
  EXPECT_THAT(merged.val_input, testing::ElementsAre("/elsewhere/v.txt"));
  EXPECT_EQ(merged.cache_dir, here + "/tokens");
}

TEST_F(RunFolder, ThatKnowsNothingOfMarksGoesOnWithThemAsText) {
  prepare_run_folder(*posix_, config_);
  EXPECT_TRUE(load_run_config(command_line({})).split_documents);
  write_all(run_config_path(run_), R"({"n_layer": 3})");
  std::filesystem::remove(run_ / "run_config.sha256");  // as runs of that time have none
  EXPECT_FALSE(load_run_config(command_line({})).split_documents);
  EXPECT_TRUE(load_run_config(command_line({"--split_documents"})).split_documents);
}

TEST_F(RunFolder, ResumingFindsARunThatWasMoved) {
  prepare_run_folder(*posix_, config_);
  fs::rename(directory_.path() / "runs", directory_.path() / "moved");
  config_.out_dir = (directory_.path() / "moved").string();
  EXPECT_EQ(load_run_config(command_line({})).out_dir, config_.out_dir);
}

TEST_F(RunFolder, ResumingWithoutARunSaysSo) {
  EXPECT_THAT(user_error_of([&] { (void)load_run_config(command_line({})); }),
              AllOf(HasSubstr(run_.string()), HasSubstr("no run to resume")));
}

TEST_F(RunFolder, AnAutomaticBatchKeepsTheTokensOfAStep) {
  config_.batch_size = 6;
  config_.grad_accum_steps = 4;
  config_.total_batch_size = 0;
  prepare_run_folder(*posix_, config_);
  const TrainConfig merged = load_run_config(command_line({"--batch_size=auto"}));
  EXPECT_EQ(merged.total_batch_size, 24 * config_.block_size);
  EXPECT_EQ(merged.grad_accum_steps, 1);
  const TrainConfig given = load_run_config(command_line({"--batch_size=auto", "--total_batch_size=0"}));
  EXPECT_EQ(given.total_batch_size, 0);
  EXPECT_EQ(load_run_config(command_line({"--batch_size=3"})).total_batch_size, 24 * config_.block_size);
  EXPECT_EQ(load_run_config(command_line({"--batch_size=3"})).grad_accum_steps, 1) << "follows from the tokens of a step";
  EXPECT_EQ(load_run_config(command_line({"--batch_size=5"})).total_batch_size, 0) << "five do not divide 24";
}

TEST_F(RunFolder, ResumingRefusesAnotherTokenizer) {
  config_.tokenizer = "char";
  prepare_run_folder(*posix_, config_);
  EXPECT_EQ(load_run_config(command_line({"--tokenizer=char"})).tokenizer, "char");
  EXPECT_THAT(user_error_of([&] { (void)load_run_config(command_line({"--tokenizer=byte"})); }),
              AllOf(HasSubstr("char"), HasSubstr("byte"), HasSubstr("--tokenizer")));
}

TEST_F(RunFolder, LoadsTheNewestCheckpoint) {
  for (const std::int64_t step : {5, 10, 100}) save(step);
  EXPECT_EQ(load_newest_checkpoint(run_).state.step, 100);
}

TEST_F(RunFolder, WithoutACheckpointSaysWhatToDo) {
  prepare_run_folder(*posix_, config_);
  EXPECT_THAT(user_error_of([&] { (void)load_newest_checkpoint(run_); }), HasSubstr("--overwrite"));
}

TEST_F(RunFolder, NamesTheCheckpointToFallBackOnWhenTheNewestIsDamaged) {
  save(5);
  save(10);
  write_all(run_ / "step-00000010" / "model.safetensors", "damaged");
  EXPECT_THAT(user_error_of([&] { (void)load_newest_checkpoint(run_); }),
              AllOf(HasSubstr("step-00000010"), HasSubstr("step-00000005")));
  fs::remove_all(run_ / "step-00000005");
  EXPECT_THAT(user_error_of([&] { (void)load_newest_checkpoint(run_); }), HasSubstr("--overwrite"));
}

TEST_F(RunFolder, ResumesNoValuesThatAreNotFinite) {
  save(5);
  const auto fill = [](std::span<std::byte> bytes) { std::ranges::fill(bytes, std::byte{0xFF}); };
  for (const bool spoil_moments : {false, true}) {
    CheckpointContents contents = make_contents(10);
    TensorSource& tensor = (spoil_moments ? contents.optimizer : contents.parameters).front();
    tensor.read = [fill](std::span<std::byte> bytes, std::int64_t) { fill(bytes); };
    save_checkpoint(*posix_, run_ / step_checkpoint_name(10), contents);
    EXPECT_THAT(user_error_of([&] { (void)load_newest_checkpoint(run_); }),
                AllOf(HasSubstr("step-00000010: " + tensor.name + " holds 4,096 values of 4,096 that are NaN"),
                      HasSubstr("remove that folder to resume from"), HasSubstr("step-00000005")));
  }
}

}  // namespace
}  // namespace virgil
