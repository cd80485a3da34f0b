#include "virgil/plan/plan_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <span>

#include "support/recording_backend.h"
#include "support/user_error.h"
#include "virgil/plan/run_plan.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using ::testing::HasSubstr;
using ::testing::Not;

const Architecture kModel{.num_layers = 2, .num_heads = 2, .embedding_dim = 64, .block_size = 64, .vocab_size = 500};
const ScratchlessTraits kNoScratch;

TrainConfig small_config() {
  TrainConfig config;
  config.n_layer = 2;
  config.n_head = 2;
  config.n_embd = 64;
  config.block_size = 64;
  config.batch_size = 4;
  config.dtype = "float32";
  return config;
}

TEST(PlanConfig, ShapeFollowsTheConfig) {
  TrainConfig config = small_config();
  config.total_batch_size = 64 * 12;
  config.recompute = "norm";
  resolve_config(config);
  const TrainingShape shape = training_shape(config, kModel);
  EXPECT_EQ(shape.batch_size, 4);
  EXPECT_EQ(shape.grad_accum_steps, 3);
  EXPECT_EQ(shape.recompute, Recompute::kNorm);
  EXPECT_TRUE(shape.samples);
  config.sample_interval = 0;
  EXPECT_FALSE(training_shape(config, kModel).samples);
}

TEST(PlanConfig, AutomaticTypeIsTheOneTheBackendPrefers) {
  const test_support::RecordingBackend device;  // float32, bfloat16, float16
  TrainConfig config;
  ASSERT_EQ(config.dtype, "auto");
  resolve_dtype(config, machine_of(device));
  EXPECT_EQ(config.dtype, "float32");
  config.dtype = "float16";
  resolve_dtype(config, machine_of(device));
  EXPECT_EQ(config.dtype, "float16");
  EXPECT_EQ(training_shape(config, kModel).dtype, DType::kFloat16);

  const auto cpu = make_cpu_backend({.num_threads = 1});
  EXPECT_THAT(user_error_of([&] { resolve_dtype(config, machine_of(*cpu)); }),
              ::testing::AllOf(HasSubstr("float16"), HasSubstr("float32"), HasSubstr("bfloat16"), HasSubstr("cpu: 1 thread")));
  config.dtype = "auto";
  resolve_dtype(config, machine_of(*cpu));
  EXPECT_EQ(config.dtype, cpu_multiplies_bfloat16() ? "bfloat16" : "float32");
}

TEST(PlanConfig, KnowsVocabulariesBeforehand) {
  TrainConfig config;
  EXPECT_EQ(expected_vocab_size(config), 50257);
  config.tokenizer = "byte";
  EXPECT_EQ(expected_vocab_size(config), 256);
  config.tokenizer = "char";
  EXPECT_EQ(expected_vocab_size(config), 128);
  config.tokenizer = "bpe:4096";
  EXPECT_EQ(expected_vocab_size(config), 4096);
  for (const char* tokenizer : {"bpe:", "bpe:-3", "bpe:4k", "some/file.json"}) {
    config.tokenizer = tokenizer;
    EXPECT_THAT(user_error_of([&] { (void)expected_vocab_size(config); }), HasSubstr("--vocab_size"));
  }
  config.vocab_size = 77;
  EXPECT_EQ(expected_vocab_size(config), 77);
}

TEST(PlanConfig, AutomaticBatchDividesTheTokensOfAStep) {
  TrainConfig config = small_config();
  config.batch_size = 0;
  config.total_batch_size = 64 * 48;
  resolve_config(config);
  constexpr std::int64_t kLimit = 20'000'000;
  choose_batch_size(config, kModel, kLimit, kNoScratch);
  EXPECT_EQ(config.batch_size * config.grad_accum_steps, 48);
  EXPECT_LE(plan_training(training_shape(config, kModel), kNoScratch).total_bytes(), kLimit);
  EXPECT_GT(config.batch_size, 1);
  TrainConfig again = config;
  choose_batch_size(again, kModel, kLimit / 2, kNoScratch);
  EXPECT_EQ(again, config) << "a batch that was chosen stays";
}

TEST(PlanConfig, AutomaticBatchWithoutTotalIsTheLargestThatFits) {
  TrainConfig config = small_config();
  config.batch_size = 0;
  resolve_config(config);
  constexpr std::int64_t kLimit = 20'000'000;
  choose_batch_size(config, kModel, kLimit, kNoScratch);
  EXPECT_LE(plan_training(training_shape(config, kModel), kNoScratch).total_bytes(), kLimit);
  EXPECT_EQ(config.total_batch_size, config.batch_size * 64);
  TrainConfig more = config;
  more.batch_size += 1;
  EXPECT_GT(plan_training(training_shape(more, kModel), kNoScratch).total_bytes(), kLimit);
}

TEST(PlanConfig, ABatchOfOneIsTriedWhereNoneFits) {
  TrainConfig config = small_config();
  config.batch_size = 0;
  resolve_config(config);
  choose_batch_size(config, kModel, 1000, kNoScratch);
  EXPECT_EQ(config.batch_size, 1);
}

TEST(PlanConfig, CommandsKeepWhatWasGiven) {
  CommandLine line;
  line.config = small_config();
  line.config_file = "my configs/a.json";
  line.config.input = {"it's.txt"};
  line.config.bias = true;
  line.set_keys = {"input", "bias", "batch_size"};
  const TrainingShape asked = training_shape(line.config, kModel);
  TrainingShape smaller = asked;
  smaller.batch_size = 2;
  smaller.grad_accum_steps = 2;
  smaller.recompute = Recompute::kBlock;
  EXPECT_EQ(command_text("train", line, changed_keys(asked, smaller)),
            "train --config 'my configs/a.json' --input='it'\\''s.txt' --bias=true --batch_size 2 --grad_accum_steps 2 "
            "--recompute block");
  line.config.batch_size = 0;
  line.config.val_input = {"a.txt", "b c.txt"};
  line.set_keys.insert(line.set_keys.begin() + 1, "val_input");
  EXPECT_EQ(
      command_text("train", line, {}),
      "train --config 'my configs/a.json' --input='it'\\''s.txt' --val_input a.txt 'b c.txt' --bias=true --batch_size=auto");
}

TEST(PlanConfig, AnotherModelChangesItsKeys) {
  const TrainingShape asked = training_shape(small_config(), kModel);
  TrainingShape other = asked;
  other.model.embedding_dim = 96;
  other.model.num_heads = 3;
  other.model.num_layers = 1;
  EXPECT_EQ(flags_text(changed_keys(asked, other)), "--n_layer 1 --n_embd 96 --n_head 3");
  other = asked;
  other.model.block_size = 32;
  EXPECT_EQ(flags_text(changed_keys(asked, other)), "--block_size 32 --total_batch_size 128");
}

TEST(PlanConfig, RemediesLeaveTheRoomAskedFor) {
  const TrainingShape asked = training_shape(small_config(), kModel);
  TrainingShape half = asked;
  half.batch_size = 2;
  half.grad_accum_steps = 2;
  const std::int64_t limit = plan_training(half, kNoScratch).total_bytes();
  // All of the limit: half the batch fits, tightly; with room left it does not, and is still named.
  EXPECT_THAT(describe_remedies(asked, limit, limit, kNoScratch, {}), HasSubstr("tight"));
  const std::string text = describe_remedies(asked, limit, limit - 1, kNoScratch, {});
  EXPECT_THAT(text.substr(text.rfind("train")), Not(HasSubstr("--batch_size 2 --grad_accum_steps 2\n")));
}

TEST(PlanConfig, LogitsChunkIsALever) {
  TrainConfig config = small_config();
  config.logits_chunk = 100;
  const TrainingShape shape = training_shape(config, kModel);
  EXPECT_EQ(shape.logits_chunk, 100);
  EXPECT_EQ(flags_text(changed_keys(training_shape(small_config(), kModel), shape)), "--logits_chunk 100");
}

TEST(PlanConfig, AnAutomaticTypeOfFloat32HasNoCopyToLeaveOut) {
  const test_support::RecordingBackend device;  // prefers float32
  TrainConfig config;
  config.master_weights = false;
  resolve_dtype(config, machine_of(device));
  EXPECT_EQ(config.dtype, "float32");
  EXPECT_TRUE(config.master_weights) << "as a run that goes on shall find it";
  EXPECT_NO_THROW(resolve_config(config));

  const auto cpu = make_cpu_backend({.num_threads = 1});
  config.dtype = "bfloat16";
  config.master_weights = false;
  resolve_dtype(config, machine_of(*cpu));
  EXPECT_FALSE(training_shape(config, kModel).master_weights);
}

/// Prefers float16, as a GPU before compute capability 8.0.
class HalfDevice final : public test_support::RecordingBackend {
 public:
  [[nodiscard]] std::span<const DType> dtypes() const override { return kDTypes; }

 private:
  static constexpr std::array kDTypes = {DType::kFloat16, DType::kFloat32};
};

TEST(PlanConfig, AnAutomaticTypeOfFloat16IsRefusedWithoutMasterWeights) {
  const HalfDevice device;
  TrainConfig config;
  config.master_weights = false;
  EXPECT_THAT(user_error_of([&] { resolve_dtype(config, machine_of(device)); }), HasSubstr("float16"));
}

TEST(PlanConfig, MasterWeightsAreALeverWithACost) {
  TrainConfig config = small_config();
  config.dtype = "bfloat16";
  const TrainingShape asked = training_shape(config, kModel);
  config.master_weights = false;
  const TrainingShape without = training_shape(config, kModel);
  EXPECT_EQ(flags_text(changed_keys(asked, without)), "--master_weights false");
  const std::int64_t limit = plan_training(without, kNoScratch).total_bytes();
  EXPECT_THAT(describe_remedies(asked, limit, limit, kNoScratch, {}),
              HasSubstr("no more time; a loss that may be a little higher)  --master_weights false\n"));
}

TEST(PlanConfig, RemediesEndInACommand) {
  CommandLine line;
  line.config = small_config();
  line.set_keys = {"batch_size"};
  const TrainingShape asked = training_shape(line.config, kModel);
  const std::int64_t bytes = plan_training(asked, kNoScratch).total_bytes();
  const std::string text = describe_remedies(asked, bytes * 3 / 4, bytes * 3 / 4, kNoScratch, line);
  EXPECT_THAT(text, HasSubstr("  train --batch_size"));
  EXPECT_THAT(text, HasSubstr("tight"));
  EXPECT_THAT(describe_remedies(asked, 1000, 1000, kNoScratch, line), HasSubstr("choose a smaller model"));
}

}  // namespace
}  // namespace virgil
