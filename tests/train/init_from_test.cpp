// train --init_from, through run_training.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "format/gpt2_folder.h"
#include "support/user_error.h"
#include "train/tiny_run.h"
#include "virgil/base/sha256.h"
#include "virgil/train/run_folder.h"
#include "virgil/train/training_run.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;
using test_support::Gpt2Folder;
using test_support::user_error_of;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class InitFrom : public testing::Test {
 protected:
  InitFrom() {
    test_support::write_all(directory_.path() / "input.txt", test_support::tiny_text());
    test_support::write_all(directory_.path() / "other.txt", test_support::tiny_text(4000, 3) + "ABC");
  }

  /// A run named `name` that trains little; later flags win.
  RunStatus run(const std::string& name, std::vector<std::string> flags) {
    std::vector<std::string> all = {"--batch_size=2",    "--max_iters=4",       "--warmup_iters=0",    "--learning_rate=3e-3",
                                    "--min_lr=3e-4",     "--threads=1",         "--sample_interval=0", "--eval_interval=2",
                                    "--save_interval=0", "--model_name=" + name};
    all.push_back("--input=" + (directory_.path() / "other.txt").string());
    all.push_back("--out_dir=" + (directory_.path() / "runs").string());
    all.insert(all.end(), flags.begin(), flags.end());
    sink_ = {};
    return run_training(parse_train_command_line(all), files_, sink_, [] { return false; });
  }
  /// A run to start from, with the char tokenizer of input.txt.
  fs::path trained_run() {
    EXPECT_EQ(run("source", {"--n_layer=2", "--n_head=2", "--n_embd=32", "--block_size=16", "--tokenizer=char", "--d_ff=40",
                             "--input=" + (directory_.path() / "input.txt").string()}),
              RunStatus::kFinished);
    return directory_.path() / "runs" / "source";
  }
  std::string refused(const std::vector<std::string>& flags) {
    const std::string message = user_error_of([&] { (void)run("refused", flags); });
    EXPECT_FALSE(fs::exists(directory_.path() / "runs" / "refused")) << message;
    return message;
  }
  std::string init(const fs::path& path) { return "--init_from=" + path.string(); }
  Gpt2Folder byte_model() {
    Gpt2Folder folder(directory_.path() / "gpt2");
    folder.set_dtype(DType::kFloat16);
    folder.write_shards(3);
    return folder;
  }
  fs::path last_step(const std::string& name) { return list_step_checkpoints(directory_.path() / "runs" / name).back(); }

  test_support::TemporaryDirectory directory_;
  test_support::UnsyncedFileSystem files_;
  test_support::RecordingSink sink_;
};

TEST_F(InitFrom, TakesSizesTokenizerAndWeightsOfARun) {
  const fs::path source = trained_run();
  const double trained_loss = sink_.steps.back().loss;
  EXPECT_EQ(run("tuned", {init(source), "--input=" + (directory_.path() / "input.txt").string()}), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("start"), HasSubstr("checkpoint of step 4"))));
  EXPECT_EQ(sink_.steps.front().step, 0);
  EXPECT_LT(sink_.steps.front().loss, trained_loss + 0.2) << "the run begins where the other ended";
  EXPECT_EQ(sink_.steps.front().learning_rate, 3e-3) << "the schedule begins anew";
  const LoadedCheckpoint last = load_checkpoint(last_step("tuned"));
  EXPECT_EQ(last.state.step, 4);
  EXPECT_EQ(last.model.embedding_dim, 32);
  EXPECT_EQ(last.model.d_ff, 40);
  EXPECT_EQ(load_tokenizer(last.directory)->fingerprint(), load_tokenizer(source / "best")->fingerprint());
}

TEST_F(InitFrom, ReadsTheWeightsAsTheyAre) {
  const fs::path source = trained_run();
  // At a learning rate of zero the run's weights are the source's.
  EXPECT_EQ(run("tuned", {init(source / "step-00000004"), "--learning_rate=0", "--min_lr=0", "--max_iters=1"}),
            RunStatus::kFinished);
  EXPECT_EQ(sha256_of_file(last_step("tuned") / "model.safetensors"),
            sha256_of_file(source / "step-00000004" / "model.safetensors"));
}

TEST_F(InitFrom, RoundsTheWeightsOnceWhereThereIsNoFloat32Copy) {
  const fs::path source = trained_run();
  EXPECT_EQ(run("tuned", {init(source / "step-00000004"), "--learning_rate=0", "--min_lr=0", "--max_iters=1",
                          "--dtype=bfloat16", "--master_weights=false"}),
            RunStatus::kFinished);
  const LoadedCheckpoint before = load_checkpoint(source / "step-00000004");
  const LoadedCheckpoint after = load_checkpoint(last_step("tuned"));
  for (const SafetensorsFile::Entry& entry : before.parameters.entries()) {
    const auto* found = after.parameters.find(entry.name);
    ASSERT_NE(found, nullptr) << entry.name;
    for (std::size_t i = 0; i < entry.bytes.size(); i += 4) {
      float original = 0;
      float rounded = 0;
      std::memcpy(&original, entry.bytes.data() + i, 4);
      std::memcpy(&rounded, found->bytes.data() + i, 4);
      ASSERT_EQ(rounded, static_cast<float>(BFloat16(original))) << entry.name << " " << i / 4;
    }
  }
}

TEST_F(InitFrom, TakesAHuggingFaceFolder) {
  const Gpt2Folder folder = byte_model();
  EXPECT_EQ(run("tuned", {init(folder.path()), "--tokenizer=byte", "--learning_rate=0", "--min_lr=0"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("start"), HasSubstr("Hugging Face gpt2"))));
  const LoadedCheckpoint last = load_checkpoint(last_step("tuned"));
  EXPECT_TRUE(last.model.biases.all());
  EXPECT_EQ(last.model.block_size, 8);
  const auto& entry = *last.parameters.find("transformer.h.1.mlp.c_fc.bias");
  float value = 0;
  std::memcpy(&value, entry.bytes.data() + 12, 4);
  EXPECT_EQ(value, Gpt2Folder::value(entry.name, folder.tensors.at(entry.name), 3));
}

TEST_F(InitFrom, GoesOnWithoutTheFolderItBeganFrom) {
  const Gpt2Folder folder = byte_model();
  EXPECT_EQ(run("whole", {init(folder.path()), "--tokenizer=byte"}), RunStatus::kFinished);
  EXPECT_EQ(run("tuned", {init(folder.path()), "--tokenizer=byte", "--max_iters=2", "--lr_decay_iters=4"}),
            RunStatus::kFinished);
  fs::remove_all(folder.path());
  const std::vector<std::string> flags = {"--resume", "--out_dir=" + (directory_.path() / "runs").string(),
                                          "--model_name=tuned", "--max_iters=4", "--init_from=elsewhere"};
  sink_ = {};
  EXPECT_EQ(run_training(parse_train_command_line(flags), files_, sink_, [] { return false; }), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("elsewhere"), HasSubstr("is not read"))));
  EXPECT_EQ(sink_.steps.front().step, 2);
  EXPECT_EQ(sha256_of_file(last_step("tuned") / "model.safetensors"), sha256_of_file(last_step("whole") / "model.safetensors"));
}

TEST_F(InitFrom, DryRunReadsAndWritesNothing) {
  const Gpt2Folder folder = byte_model();
  EXPECT_EQ(run("dry", {init(folder.path()), "--tokenizer=byte", "--dry_run"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("2 layers, 2 heads of 8, width 16, context 8"))));
  EXPECT_THAT(sink_.steps, IsEmpty());
  EXPECT_FALSE(fs::exists(directory_.path() / "runs"));
}

TEST_F(InitFrom, SizesOfAPresetGiveWay) {
  const Gpt2Folder folder = byte_model();
  const fs::path preset = directory_.path() / "preset.json";
  test_support::write_all(preset, R"({"n_layer": 6, "n_embd": 384, "block_size": 256, "tokenizer": "byte", "beta2": 0.99})");
  EXPECT_EQ(run("tuned", {init(folder.path()), "--config", preset.string()}), RunStatus::kFinished);
  EXPECT_THAT(sink_.lines, Contains(AllOf(HasSubstr("n_layer 6, n_embd 384, block_size 256"), HasSubstr("preset.json"),
                                          HasSubstr("ignored: the sizes are those of"))));
  EXPECT_EQ(load_checkpoint(last_step("tuned")).model.num_layers, 2);
}

TEST_F(InitFrom, ASmallerBlockSizeShortensTheContext) {
  const Gpt2Folder folder = byte_model();
  EXPECT_EQ(run("tuned", {init(folder.path()), "--tokenizer=byte", "--block_size=5"}), RunStatus::kFinished);
  EXPECT_EQ(load_checkpoint(last_step("tuned")).model.block_size, 5);
  EXPECT_THAT(refused({init(folder.path()), "--tokenizer=byte", "--block_size=9"}),
              AllOf(HasSubstr("block_size is 9"), HasSubstr("block_size 8")));
}

TEST_F(InitFrom, RefusesFlagsThatContradictTheModel) {
  const Gpt2Folder folder = byte_model();
  const auto error_with = [&](const std::string& flag) { return refused({init(folder.path()), "--tokenizer=byte", flag}); };
  EXPECT_THAT(error_with("--n_layer=3"), AllOf(HasSubstr("--n_layer is 3"), HasSubstr("n_layer 2"), HasSubstr("leave")));
  EXPECT_THAT(error_with("--n_head=4"), HasSubstr("--n_head is 4"));
  EXPECT_THAT(error_with("--n_embd=32"), HasSubstr("--n_embd is 32"));
  EXPECT_THAT(error_with("--d_ff=32"), HasSubstr("--d_ff is 32"));
  EXPECT_THAT(error_with("--vocab_size=512"), HasSubstr("--vocab_size is 512"));
  EXPECT_THAT(error_with("--no_bias"), HasSubstr("--bias is false"));
  EXPECT_THAT(error_with("--no_tie_weights"), HasSubstr("--tie_weights is false"));
  EXPECT_EQ(run("same", {init(folder.path()), "--tokenizer=byte", "--n_layer=2", "--d_ff=64", "--bias", "--max_iters=1"}),
            RunStatus::kFinished);
}

TEST_F(InitFrom, RefusesATokenizerOfAnotherVocabulary) {
  const Gpt2Folder folder = byte_model();
  EXPECT_THAT(refused({init(folder.path())}), AllOf(HasSubstr("no tokenizer"), HasSubstr("256"), HasSubstr("--tokenizer")));
  EXPECT_THAT(refused({init(folder.path()), "--tokenizer=char"}), HasSubstr("learned from another text"));
  const Gpt2Folder wide(directory_.path() / "wide", 400);
  wide.write();
  EXPECT_EQ(run("wide", {init(wide.path()), "--tokenizer=byte", "--max_iters=1"}), RunStatus::kFinished);
  EXPECT_THAT(sink_.warnings, Contains(AllOf(HasSubstr("256 tokens"), HasSubstr("vocabulary of 400"))));
  const Gpt2Folder narrow(directory_.path() / "narrow", 200);
  narrow.write();
  EXPECT_THAT(refused({init(narrow.path()), "--tokenizer=byte"}), HasSubstr("vocabulary of 200"));
  const Gpt2Folder padded(directory_.path() / "padded", 320);
  padded.write();
  EXPECT_EQ(run("padded", {init(padded.path()), "--tokenizer=byte", "--max_iters=1"}), RunStatus::kFinished);

  const fs::path source = trained_run();
  EXPECT_THAT(refused({init(source), "--tokenizer=byte"}), HasSubstr("byte has 256 tokens"));
  EXPECT_THAT(refused({init(source), "--tokenizer=bpe:300"}), AllOf(HasSubstr("trained with char"), HasSubstr("leave")));
  test_support::write_all(wide.path() / "tokenizer.json", "not a tokenizer");
  EXPECT_EQ(run("given", {init(wide.path()), "--tokenizer=byte", "--max_iters=1"}), RunStatus::kFinished)
      << "what is given counts, whatever the folder holds";
  EXPECT_EQ(run("char", {init(source), "--tokenizer=char", "--max_iters=1"}), RunStatus::kFinished);
}

TEST_F(InitFrom, RefusesFoldersThatHoldNoModel) {
  EXPECT_THAT(refused({"--init_from=absent"}), HasSubstr("absent"));
  EXPECT_THAT(refused({init(directory_.path())}), HasSubstr("neither a checkpoint nor a run"));
  Gpt2Folder folder = byte_model();
  fs::resize_file(folder.path() / Gpt2Folder::shard_name(0), 100);
  EXPECT_THAT(refused({init(folder.path()), "--tokenizer=byte"}), HasSubstr(Gpt2Folder::shard_name(0)));
}

TEST_F(InitFrom, RefusesToRemoveWhatItStartsFrom) {
  const fs::path source = trained_run();
  EXPECT_THAT(user_error_of([&] {
                (void)run("source", {init(source), "--overwrite"});
              }),
              AllOf(HasSubstr("init_from"), HasSubstr("--model_name")));
  EXPECT_TRUE(fs::exists(source / "step-00000004"));
  EXPECT_THAT(user_error_of([&] { (void)run("source", {init(source)}); }), HasSubstr("already holds a run"));
}

TEST_F(InitFrom, HasALearningRateOfItsOwn) {
  const fs::path source = trained_run();
  const std::vector<std::string> bare = {"--batch_size=2",
                                         "--max_iters=2",
                                         "--threads=1",
                                         "--warmup_iters=0",
                                         "--sample_interval=0",
                                         "--eval_interval=0",
                                         "--save_interval=0",
                                         "--input=" + (directory_.path() / "other.txt").string(),
                                         "--out_dir=" + (directory_.path() / "runs").string(),
                                         init(source)};
  const auto rate_of = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), bare.begin(), bare.end());
    sink_ = {};
    EXPECT_EQ(run_training(parse_train_command_line(flags), files_, sink_, [] { return false; }), RunStatus::kFinished);
    return sink_.steps.front().learning_rate;
  };
  EXPECT_DOUBLE_EQ(rate_of({"--model_name=a"}), 5e-5);
  EXPECT_THAT(sink_.lines, Contains(HasSubstr("learning_rate is 5e-05 and min_lr 5e-06")));
  EXPECT_DOUBLE_EQ(rate_of({"--model_name=b", "--learning_rate=3e-5"}), 3e-5) << "with a min_lr below it";
  const std::string preset = directory_.path() / "preset.json";
  test_support::write_all(preset, R"({"learning_rate": 6e-4})");
  EXPECT_DOUBLE_EQ(rate_of({"--model_name=c", "--config", preset}), 6e-4);
  EXPECT_THAT(sink_.warnings, Contains(HasSubstr("--learning_rate 5e-05 --min_lr 5e-06")));
}

TEST_F(InitFrom, SaysHowToGetAModelOfTheHub) {
  EXPECT_THAT(refused({"--init_from=openai-community/gpt2"}), HasSubstr("hf download openai-community/gpt2 --local-dir gpt2"));
  EXPECT_THAT(refused({"--init_from=gpt2"}), HasSubstr("hf download"));
  EXPECT_THAT(refused({"--init_from=resume"}), HasSubstr("give --resume"));
}

}  // namespace
}  // namespace virgil
