#include "virgil/format/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>
#include <thread>

#include "format/checkpoint_fixture.h"
#include "support/temporary_directory.h"
#include "support/user_error.h"
#include "virgil/base/sha256.h"
#include "virgil/config/config_schema.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;
using test_support::read_all;
using test_support::user_error_of;
using test_support::write_all;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class CheckpointTest : public test_support::CheckpointFixture {
 protected:
  std::string load_error() {
    return user_error_of([&] { static_cast<void>(load_checkpoint(best_)); });
  }

  /// Changes a file and makes the hashes true again: what is tested are the checks behind the hashes.
  void rewrite(const std::string& name, const std::string& content) {
    write_all(best_ / name, content);
    if (name != "training_state.json") {
      auto state = nlohmann::ordered_json::parse(read_all(best_ / "training_state.json"));
      state["files"][name] = {{"size_bytes", content.size()}, {"sha256", sha256_hex(content)}};
      write_all(best_ / "training_state.json", state.dump());
    }
    write_all(best_ / "training_state.sha256", sha256_of_file(best_ / "training_state.json") + "  training_state.json\n");
  }
};

TEST_F(CheckpointTest, RoundTripsEverything) {
  for (const bool bias : {false, true}) {
    for (const bool tied : {false, true}) {
      CheckpointContents contents = make_contents(7);
      contents.model.biases = Biases::everywhere(bias);
      contents.model.tie_weights = tied;
      contents.model.d_ff = tied ? 64 : 24;
      contents.model.dropout = 0.1F;
      fill_tensors(contents, 7);
      save_checkpoint(*files_, best_, contents);

      const LoadedCheckpoint loaded = load_checkpoint(best_);
      EXPECT_EQ(loaded.directory, best_);
      EXPECT_EQ(trainable(loaded.model).d_ff, contents.model.d_ff);
      EXPECT_EQ(loaded.model.biases.all(), bias);
      EXPECT_EQ(loaded.model.tie_weights, tied);
      EXPECT_EQ(loaded.model.dropout, 0.1F);
      EXPECT_EQ(loaded.state, contents.state);
      expect_tensors(loaded.parameters, contents.parameters);
      ASSERT_NE(loaded.optimizer, nullptr);
      expect_tensors(*loaded.optimizer, contents.optimizer);
    }
  }
}

TEST_F(CheckpointTest, WithConvolutionsComesBackAndSaysThatItIsNotGpt2) {
  CheckpointContents contents = make_contents(7);
  contents.model.family = &kVirgilFamily;
  contents.model.conv_taps = 3;
  fill_tensors(contents, 7);
  save_checkpoint(*files_, best_, contents);
  const LoadedCheckpoint loaded = load_checkpoint(best_);
  EXPECT_EQ(loaded.model.family, &kVirgilFamily);
  EXPECT_EQ(loaded.model.conv_taps, 3);
  expect_tensors(loaded.parameters, contents.parameters);
  const std::string card = read_all(best_ / "README.md");
  EXPECT_THAT(card, AllOf(HasSubstr("convolutions of its own"), HasSubstr("of 3 positions before"),
                          HasSubstr("does not open it"), Not(HasSubstr("library_name")), Not(HasSubstr("AutoModel"))));
}

TEST_F(CheckpointTest, HoldsWhatOtherProgramsAsk) {
  CheckpointContents contents = make_contents(3);
  contents.state.config_json = R"({"model_name": "poem", "input": ["texts/dante.txt", "more/"]})";
  save_checkpoint(*files_, best_, contents);
  const auto json = [&](const char* name) { return nlohmann::json::parse(read_all(best_ / name)); };
  EXPECT_EQ(json("tokenizer_config.json")["tokenizer_class"], "PreTrainedTokenizerFast");
  EXPECT_EQ(json("tokenizer_config.json")["model_max_length"], contents.model.block_size);
  EXPECT_EQ(json("generation_config.json")["do_sample"], true);
  EXPECT_EQ(json("tokenizer.json")["model"]["vocab"].size(), 256U);
  EXPECT_THAT(read_all(best_ / "README.md"), AllOf(HasSubstr("# poem"), HasSubstr("dante.txt, more"), HasSubstr("| byte |"),
                                                   ::testing::Not(HasSubstr("texts/"))));
}

TEST_F(CheckpointTest, SavesToARealDiskTwiceUnderOneName) {
  const auto posix = make_posix_file_system();
  save_checkpoint(*posix, best_, make_contents(1));
  save_checkpoint(*posix, best_, make_contents(2));
  EXPECT_EQ(load_checkpoint(best_).state, make_contents(2).state);
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_.path()), {}), 1);
}

TEST_F(CheckpointTest, KeepsTheBitsOfEveryLossValue) {
  const double values[] = {1.0 / 3,
                           -0.0,
                           std::numeric_limits<double>::infinity(),
                           std::bit_cast<double>(0x7ff8000000000123ULL),
                           std::bit_cast<double>(0xfff0000000000001ULL),
                           std::numeric_limits<double>::denorm_min()};
  for (const double value : values) {
    CheckpointContents contents = make_contents(1);
    contents.state.best_val_loss = value;
    contents.state.last_val_loss = -value;
    contents.state.seed = std::numeric_limits<std::uint64_t>::max();
    save_checkpoint(*files_, best_, contents);
    const LoadedCheckpoint loaded = load_checkpoint(best_);
    EXPECT_EQ(std::bit_cast<std::uint64_t>(loaded.state.best_val_loss), std::bit_cast<std::uint64_t>(value));
    EXPECT_EQ(std::bit_cast<std::uint64_t>(loaded.state.last_val_loss), std::bit_cast<std::uint64_t>(-value));
    EXPECT_EQ(loaded.state.seed, std::numeric_limits<std::uint64_t>::max());
  }
}

TEST_F(CheckpointTest, SavesWeightsAlone) {
  CheckpointContents contents = make_contents(1);
  contents.optimizer.clear();
  save_checkpoint(*files_, best_, contents);
  EXPECT_EQ(load_checkpoint(best_).optimizer, nullptr);
  EXPECT_FALSE(fs::exists(best_ / "optimizer.safetensors"));
}

TEST_F(CheckpointTest, CarriesTheTokenizer) {
  save_checkpoint(*files_, best_, make_contents(1));
  const auto restored = load_tokenizer(best_);
  EXPECT_EQ(restored->fingerprint(), tokenizer_->fingerprint());
}

TEST_F(CheckpointTest, AcceptsATrailingSlashAndABareName) {
  save_checkpoint(*files_, best_ / "", make_contents(1));
  EXPECT_EQ(load_checkpoint(best_ / "").state.step, 1);
  EXPECT_TRUE(fs::exists(best_ / "model.safetensors"));
}

TEST_F(CheckpointTest, WritesAConfigThatTransformersReads) {
  save_checkpoint(*files_, best_, make_contents(1));
  const auto config = nlohmann::json::parse(read_all(best_ / "config.json"));
  EXPECT_EQ(config.at("architectures"), nlohmann::json::array({"GPT2LMHeadModel"}));
  EXPECT_EQ(config.at("model_type"), "gpt2");
  EXPECT_EQ(config.at("n_layer"), 2);
  EXPECT_EQ(config.at("n_head"), 2);
  EXPECT_EQ(config.at("n_embd"), 16);
  EXPECT_EQ(config.at("n_positions"), 8);
  EXPECT_EQ(config.at("vocab_size"), 256);
  EXPECT_TRUE(config.at("n_inner").is_null());
  EXPECT_EQ(config.at("activation_function"), "gelu_new");
  EXPECT_EQ(config.at("layer_norm_epsilon"), 1e-5);
  EXPECT_EQ(config.at("tie_word_embeddings"), true);
  EXPECT_TRUE(config.at("bos_token_id").is_null()) << "transformers' default, 50256, is outside this vocabulary";
}

TEST_F(CheckpointTest, GivesOtherProgramsZeroBiasesForAModelWithoutThem) {
  save_checkpoint(*files_, best_, make_contents(1));
  const LoadedCheckpoint loaded = load_checkpoint(best_);
  EXPECT_EQ(loaded.parameters.metadata().at("format"), "pt");
  EXPECT_TRUE(loaded.parameters.metadata().contains("virgil.biases"));
  for (const char* name : {"transformer.h.1.attn.c_attn.bias", "transformer.h.0.ln_1.bias", "transformer.ln_f.bias"}) {
    const auto* entry = loaded.parameters.find(name);
    ASSERT_NE(entry, nullptr) << name;
    EXPECT_TRUE(std::ranges::all_of(entry->bytes, [](std::byte b) { return b == std::byte{0}; }));
  }
  // 2 embeddings, 2 * 12 tensors in the blocks, 2 of the last layernorm: GPT2LMHeadModel's state dict with a tied head.
  EXPECT_EQ(loaded.parameters.entries().size(), 28U);

  CheckpointContents biased = make_contents(1);
  biased.model.biases = kAllBiases;
  fill_tensors(biased, 1);
  save_checkpoint(*files_, best_, biased);
  EXPECT_FALSE(load_checkpoint(best_).parameters.metadata().contains("virgil.biases"));
  EXPECT_EQ(load_checkpoint(best_).parameters.entries().size(), 28U);
}

TEST_F(CheckpointTest, NamesMissingFolders) {
  EXPECT_THAT(load_error(), AllOf(HasSubstr(best_.string()), HasSubstr("no such checkpoint")));
  write_all(best_, "a file");
  EXPECT_THAT(load_error(), HasSubstr("a file, not a checkpoint's folder"));
  write_all(best_, "PK\x03\x04............archive/data.pkl");
  EXPECT_THAT(load_error(), AllOf(HasSubstr("is a PyTorch pickle"), HasSubstr("docs/coming-from.md")));
  fs::remove(best_);
  fs::create_directory(best_);
  EXPECT_THAT(load_error(), AllOf(HasSubstr("training_state.json: missing"), HasSubstr("not a checkpoint of Virgil")));
}

TEST_F(CheckpointTest, DetectsAFlippedBitATruncationAndAMissingFile) {
  save_checkpoint(*files_, best_, make_contents(1));
  int num_files = 0;
  for (const auto& entry : std::vector<fs::directory_entry>(fs::directory_iterator(best_), {})) {
    const std::string good = read_all(entry.path());
    const std::string name = entry.path().filename();
    SCOPED_TRACE(name);
    // A damaged hash file speaks against the file it belongs to.
    const std::string blamed = name == "training_state.sha256" ? "training_state." : name;
    for (const std::size_t position : {std::size_t{0}, good.size() / 2, good.size() - 1}) {
      for (const int bit : {0, 6}) {
        std::string bad = good;
        bad[position] = static_cast<char>(bad[position] ^ (1 << bit));
        write_all(entry.path(), bad);
        EXPECT_THAT(load_error(), AllOf(HasSubstr(blamed), HasSubstr("corrupted"))) << position;
      }
    }
    if (name == "model.safetensors") {
      const std::string digits = "\"[0-9a-f]{12}\\.\\.\\.\"";
      EXPECT_THAT(load_error(),
                  ::testing::ContainsRegex("SHA-256 is " + digits + ", but was " + digits + " when it was saved"));
    }
    for (const std::size_t size : {std::size_t{0}, good.size() / 2, good.size() - 1}) {
      write_all(entry.path(), good.substr(0, size));
      EXPECT_THAT(load_error(), AllOf(HasSubstr(blamed), ::testing::AnyOf(HasSubstr("truncated"), HasSubstr("corrupted"))));
    }
    fs::remove(entry.path());
    EXPECT_THAT(load_error(), AllOf(HasSubstr(name), ::testing::AnyOf(HasSubstr("missing"), HasSubstr("No such file"))));
    write_all(entry.path(), good);
    ++num_files;
  }
  EXPECT_EQ(num_files, 10) << "parameters, optimizer, config, three of the tokenizer, two companions, state, its hash";
  EXPECT_NO_THROW(static_cast<void>(load_checkpoint(best_)));
}

TEST_F(CheckpointTest, RefusesTensorsThatDoNotFitTheConfig) {
  save_checkpoint(*files_, best_, make_contents(1));
  auto config = nlohmann::ordered_json::parse(read_all(best_ / "config.json"));
  config["n_embd"] = 32;
  rewrite("config.json", config.dump());
  EXPECT_THAT(load_error(),
              AllOf(HasSubstr("model.safetensors: transformer.wte.weight is F32 (256, 16)"), HasSubstr("(256, 32)")));
  config["n_embd"] = 16;
  config["n_layer"] = 3;
  rewrite("config.json", config.dump());
  EXPECT_THAT(load_error(), HasSubstr("the tensor transformer.h.2.ln_1.weight is missing"));
}

TEST_F(CheckpointTest, RefusesConfigsThatAreNotItsOwn) {
  save_checkpoint(*files_, best_, make_contents(1));
  const auto good = nlohmann::ordered_json::parse(read_all(best_ / "config.json"));
  for (const char* key : {"n_layer", "n_head", "n_embd", "n_positions", "vocab_size", "resid_pdrop", "virgil"}) {
    auto config = good;
    config.erase("n_ctx");  // which stands for n_positions
    config.erase(key);
    rewrite("config.json", config.dump());
    EXPECT_THAT(load_error(), AllOf(HasSubstr("config.json: \""), HasSubstr("is missing")));
    config = good;
    config[key] = "text";
    rewrite("config.json", config.dump());
    EXPECT_THAT(load_error(), AllOf(HasSubstr("config.json: \""), HasSubstr("\"text\", but must be")));
  }
  auto config = good;
  config["n_head"] = 3;
  rewrite("config.json", config.dump());
  EXPECT_THAT(load_error(), AllOf(HasSubstr("config.json: "), HasSubstr("n_head is 3")));
  for (const std::string& text : {std::string("{"), std::string(100000, '['), R"({"a": )" + std::string(100000, '{')}) {
    rewrite("config.json", text);
    EXPECT_THAT(load_error(), HasSubstr("config.json: "));
  }
}

TEST_F(CheckpointTest, RefusesStatesItDidNotWrite) {
  save_checkpoint(*files_, best_, make_contents(1));
  const auto good = nlohmann::ordered_json::parse(read_all(best_ / "training_state.json"));
  const auto error_with = [&](const char* key, const nlohmann::ordered_json& value) {
    auto state = good;
    state[key] = value;
    rewrite("training_state.json", state.dump());
    return load_error();
  };
  EXPECT_THAT(error_with("version", 2), HasSubstr("use the version of Virgil that wrote it"));
  EXPECT_THAT(error_with("step", "one"), HasSubstr("\"step\" is \"one\", but must be a whole number"));
  EXPECT_THAT(error_with("best_val_loss", {{"bits", "xyz"}}), HasSubstr("16 hexadecimal digits"));
  EXPECT_THAT(error_with("files", nlohmann::ordered_json::object()), HasSubstr("does not list config.json"));
  EXPECT_THAT(error_with("files", {{"../x", {{"size_bytes", 1}, {"sha256", ""}}}}), HasSubstr("not the name of a file"));
  EXPECT_THAT(error_with("config", {{"a", {{"b", 1}}}}), HasSubstr("not a flat JSON object"));
  for (const std::string& nested : {std::string(100000, '['), R"({"format": )" + std::string(100000, '[')}) {
    rewrite("training_state.json", nested);
    EXPECT_THAT(load_error(), HasSubstr("training_state.json: nested deeper than 64 levels"));
  }
}

TEST_F(CheckpointTest, KeepsTheLossScaleWhereThereIsOne) {
  CheckpointContents contents = make_contents(1);
  contents.state.loss_scaler = {.scale = 0x1p-3, .good_steps = 1999};
  save_checkpoint(*files_, best_, contents);
  EXPECT_EQ(load_checkpoint(best_).state.loss_scaler, contents.state.loss_scaler);
  contents.state.loss_scaler = {};
  save_checkpoint(*files_, best_, contents);
  EXPECT_EQ(load_checkpoint(best_).state.loss_scaler, LossScalerState{});
  EXPECT_THAT(read_all(best_ / "training_state.json"), Not(HasSubstr("loss_scale")));
}

TEST_F(CheckpointTest, RefusesToSaveWhatWouldNotLoad) {
  CheckpointContents missing = make_contents(1);
  missing.parameters.pop_back();
  EXPECT_THROW(save_checkpoint(*files_, best_, missing), InternalError);
  CheckpointContents misshapen = make_contents(1);
  misshapen.parameters[0].shape = {1};
  EXPECT_THROW(save_checkpoint(*files_, best_, misshapen), InternalError);
  CheckpointContents no_json = make_contents(1);
  no_json.state.config_json = "{";
  EXPECT_THROW(save_checkpoint(*files_, best_, no_json), InternalError);
  EXPECT_TRUE(fs::is_empty(directory_.path()));
}

TEST(StepCheckpoints, AreNamedSoThatNamesSortBySteps) {
  EXPECT_EQ(step_checkpoint_name(0), "step-00000000");
  EXPECT_EQ(step_checkpoint_name(500), "step-00000500");
  EXPECT_EQ(step_checkpoint_name(1234567890), "step-1234567890");
}

TEST_F(CheckpointTest, ListsStepCheckpointsOldestFirst) {
  const fs::path run = directory_.path();
  EXPECT_TRUE(list_step_checkpoints(run / "missing").empty());
  for (const char* name : {"step-00000500", "step-00000020", "step-1234567890", "step-00000700.old", "step-00000500.old",
                           "best", "step-00000900.tmp-17", "step-5", "step-0000000x", "step-", "stop-00000001"}) {
    fs::create_directory(run / name);
  }
  write_all(run / "step-00000001", "a file");
  EXPECT_THAT(list_step_checkpoints(run), ::testing::ElementsAre(run / "step-00000020", run / "step-00000500",
                                                                 run / "step-00000700", run / "step-1234567890"));
}

TEST_F(CheckpointTest, PrunesOldStepsAndLeftovers) {
  const fs::path run = directory_.path();
  for (const char* name : {"step-00000001", "step-00000002", "step-00000002.old", "step-00000003", "step-00000004.old", "best",
                           "best.tmp-17", "step-00000009.tmp-1", "notes.tmp-x"}) {
    fs::create_directories(run / name);
    write_all(run / name / "model.safetensors", "");
  }
  write_all(run / "config.tmp-1", "a file");
  const auto names = [&] {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(run)) found.push_back(entry.path().filename());
    return found;
  };
  prune_checkpoints(*files_, run, 0);
  EXPECT_THAT(names(), ::testing::UnorderedElementsAre("step-00000001", "step-00000002", "step-00000002.old", "step-00000003",
                                                       "step-00000004.old", "best", "notes.tmp-x", "config.tmp-1"));
  prune_checkpoints(*files_, run, 2);
  EXPECT_THAT(names(),
              ::testing::UnorderedElementsAre("step-00000003", "step-00000004.old", "best", "notes.tmp-x", "config.tmp-1"));
  prune_checkpoints(*files_, run, 5);
  EXPECT_EQ(names().size(), 5U);
}

TEST_F(CheckpointTest, LeavesWhatOthersHavePutThere) {
  const fs::path run = directory_.path();
  // Names that look like a save's leftovers, with something of the user's in them or of another kind.
  for (const char* name : {"thesis.tmp-1/chapter", "best.tmp-17/notes.txt", "step-00000001/notes.txt", "step-00000002/x/y"}) {
    fs::create_directories((run / name).parent_path());
    write_all(run / name, "mine");
  }
  write_all(run / "data.tmp-5", "mine");
  fs::create_symlink(run / "thesis.tmp-1", run / "best.tmp-18");
  save_checkpoint(*files_, best_, make_contents(1));
  save_checkpoint(*files_, run / "step-00000003", make_contents(3));
  prune_checkpoints(*files_, run, 1);
  for (const char* name : {"thesis.tmp-1/chapter", "best.tmp-17/notes.txt", "step-00000001/notes.txt", "step-00000002/x/y",
                           "data.tmp-5", "best.tmp-18/chapter"}) {
    EXPECT_TRUE(fs::exists(run / name)) << name;
  }
}

TEST_F(CheckpointTest, AReplacedCheckpointHandsOnWhatOthersHavePutIntoIt) {
  save_checkpoint(*files_, best_, make_contents(1));
  write_all(best_ / "notes.txt", "mine");
  fs::create_directory(best_ / "plots");
  write_all(best_ / "plots" / "loss.png", "mine");
  save_checkpoint(*files_, best_, make_contents(2));
  EXPECT_EQ(load_checkpoint(best_).state.step, 2);
  EXPECT_EQ(read_all(best_ / "notes.txt"), "mine");
  EXPECT_EQ(read_all(best_ / "plots" / "loss.png"), "mine");
  EXPECT_FALSE(fs::exists(directory_.path() / "best.old"));
}

TEST_F(CheckpointTest, ReadersOfTheWeightsLeaveTheOptimizerAlone) {
  save_checkpoint(*files_, best_, make_contents(1));
  write_all(best_ / "optimizer.safetensors", "damaged");
  EXPECT_THAT(load_error(), HasSubstr("optimizer.safetensors"));
  const LoadedCheckpoint weights = load_checkpoint(best_, CheckpointParts::kWeights);
  EXPECT_EQ(weights.optimizer, nullptr);
  expect_tensors(weights.parameters, make_contents(1).parameters);
}

// A training that replaces "best" again and again, and a reader beside it: every load gives one checkpoint whole.
TEST_F(CheckpointTest, LoadsWholeWhileItIsReplaced) {
  save_checkpoint(*files_, best_, make_contents(1));
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (std::int64_t step = 2; !done; ++step) save_checkpoint(*files_, best_, make_contents(step));
  });
  std::int64_t last_step = 0;
  int num_loads = 0;
  const auto load = [&] {
    for (; num_loads < 50; ++num_loads) {
      const LoadedCheckpoint loaded =
          load_checkpoint(best_, num_loads % 2 == 0 ? CheckpointParts::kAll : CheckpointParts::kWeights);
      ASSERT_GE(loaded.state.step, last_step);
      last_step = loaded.state.step;
      expect_tensors(loaded.parameters, make_contents(last_step).parameters);
    }
  };
  EXPECT_NO_THROW(load()) << "after " << num_loads << " loads";
  done = true;
  writer.join();
  EXPECT_GT(last_step, 1) << "nothing was replaced meanwhile";
}

TEST_F(CheckpointTest, KeepsTheConfigTextOfTheRun) {
  CheckpointContents contents = make_contents(1);
  TrainConfig config;
  config.learning_rate = 0.1 + 0.2;
  config.seed = std::numeric_limits<std::uint64_t>::max();
  contents.state.config_json = config_to_json(config);
  save_checkpoint(*files_, best_, contents);
  EXPECT_EQ(load_checkpoint(best_).state.config_json, contents.state.config_json);
}

}  // namespace
}  // namespace virgil
