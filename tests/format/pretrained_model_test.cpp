#include "virgil/format/pretrained_model.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "format/checkpoint_fixture.h"
#include "format/gpt2_folder.h"
#include "support/repository.h"
#include "support/test_model.h"
#include "support/user_error.h"
#include "virgil/format/finite_check.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;
using test_support::Gpt2Folder;
using test_support::user_error_of;
using testing::AllOf;
using testing::HasSubstr;

// --- Against transformers: tests/golden, made by tests/reference/make_import_golden.py --------------------------------------

class ImportedGolden : public testing::TestWithParam<const char*> {};

TEST_P(ImportedGolden, LogitsMatch) {
  const fs::path folder = test_support::repository_path(fmt::format("tests/golden/gpt2_{}", GetParam()));
  const PretrainedModel pretrained = open_pretrained(folder);
  EXPECT_EQ(pretrained.files.size(), 3U);
  EXPECT_TRUE(pretrained.model.biases.all());
  const SafetensorsFile expected_file(folder / "expected.safetensors");
  const auto read = [&](const char* name, auto& values) {
    const SafetensorsFile::Entry& entry = *expected_file.find(name);
    values.resize(entry.bytes.size() / 4);
    std::memcpy(values.data(), entry.bytes.data(), entry.bytes.size());
  };
  std::vector<std::int32_t> inputs;
  std::vector<float> expected;
  read("inputs", inputs);
  read("logits", expected);

  test_support::TestModel model(pretrained.model, {.batch_size = 2, .length = 12});
  load_parameters(model.backend(), model.plan().parameters(), pretrained, model.gpt().master_weights());
  model.gpt().load_batch(inputs, inputs);
  std::vector<float> actual(expected.size());
  (void)model.gpt().evaluate_with_logits(actual);
  double largest = 0;
  for (const float logit : expected) largest = std::max(largest, std::fabs(static_cast<double>(logit)));
  // As tests/train/golden_test.cpp: our path's roundings, and the rounding of the stored logits.
  const std::int64_t path = test_support::forward_path_length(model.config(), 12);
  const double bound = (test_support::probable_gamma(path) + test_support::kUnitRoundoff) * largest;
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(actual[i], expected[i], bound) << "logit " << i;
}

INSTANTIATE_TEST_SUITE_P(Types, ImportedGolden, testing::Values("float16", "bfloat16"),
                         [](const auto& info) { return std::string(info.param); });

// --- Folders of every form --------------------------------------------------------------------------------------------------

class Pretrained : public testing::Test {
 protected:
  /// The weights as they arrive, by the names of GPT2LMHeadModel.
  void expect_weights(const Gpt2Folder& folder) {
    const PretrainedModel model = open_pretrained(folder.path());
    const auto backend = make_cpu_backend({.num_threads = 1});
    const MemoryPlan plan(trainable(model.model),
                          {.decode = DecodeShape{.num_sequences = 1, .max_length = model.model.block_size}}, backend->traits());
    const PlannedMemory memory(plan, backend->memory());
    const ParameterLayout& layout = plan.parameters();
    std::ranges::fill(memory.bytes(PlanSlot::kWeights), std::byte{0xFF});
    const TensorView flat = memory.view(PlanSlot::kWeights, 0, DType::kFloat32, {layout.flat_elements()});
    load_parameters(*backend, layout, model, FlatTensor::whole(layout, flat));
    std::vector<float> expected(static_cast<std::size_t>(layout.flat_elements()));  // gaps and padding rows are zero
    for (const ParameterSpec& spec : layout.parameters()) {
      const auto found = original_.tensors.find(spec.name);
      ASSERT_NE(found, original_.tensors.end()) << spec.name;
      for (std::int64_t i = 0; i < spec.stored_shape.num_elements(); ++i) {
        expected[static_cast<std::size_t>(spec.offset + i)] = Gpt2Folder::value(spec.name, found->second, i);
      }
    }
    std::vector<float> actual(expected.size());
    backend->copy_to_host(std::as_writable_bytes(std::span(actual)), flat);
    test_support::expect_same_bits(layout, expected, actual);
  }
  std::string refused(const Gpt2Folder& folder) {
    return user_error_of([&] { (void)open_pretrained(folder.path()); });
  }
  Gpt2Folder folder(const char* name) { return Gpt2Folder(directory_.path() / name); }

  test_support::TemporaryDirectory directory_;
  Gpt2Folder original_{directory_.path() / "original"};
};

TEST_F(Pretrained, ReadsEveryFloatType) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
    Gpt2Folder saved = folder(std::string(name_of(dtype)).c_str());
    saved.set_dtype(dtype);
    saved.write();
    expect_weights(saved);
  }
}

TEST_F(Pretrained, ReadsTypesThatAreMixed) {
  Gpt2Folder saved = folder("mixed");
  saved.set_dtype(DType::kBFloat16);
  for (const char* name : {"transformer.h.0.ln_1.weight", "transformer.h.1.ln_2.bias"})
    saved.tensors[name].dtype = DType::kFloat32;
  saved.tensors["transformer.wpe.weight"].dtype = DType::kFloat16;
  saved.write();
  expect_weights(saved);
}

TEST_F(Pretrained, ReadsShards) {
  Gpt2Folder saved = folder("shards");
  saved.set_dtype(DType::kFloat16);
  saved.write_shards(3);
  expect_weights(saved);
}

TEST_F(Pretrained, ReadsNamesWithoutPrefix) {
  Gpt2Folder saved = folder("bare");
  saved.drop_prefix();
  saved.write();
  expect_weights(saved);
}

TEST_F(Pretrained, ReadsTheTensorsOfNanoGpt) {
  for (const char* wrapper : {"", "_orig_mod.", "module._orig_mod."}) {
    for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
      Gpt2Folder saved = folder("nanogpt");
      saved.set_dtype(dtype);
      saved.make_nano_gpt(wrapper);
      saved.write();
      expect_weights(saved);
      const std::string note = open_pretrained(saved.path()).note;
      EXPECT_THAT(note, HasSubstr("matrices transposed"));
      EXPECT_THAT(note, HasSubstr(wrapper));
    }
  }
  original_.write();
  EXPECT_EQ(open_pretrained(original_.path()).note, "");
}

TEST_F(Pretrained, ReadsAModelWithoutAnyBias) {
  Gpt2Folder saved = folder("no_bias");  // nanoGPT's bias=False, whose config.json does not tell
  std::erase_if(saved.tensors, [](const auto& item) { return item.first.ends_with(".bias"); });
  saved.write();
  EXPECT_FALSE(open_pretrained(saved.path()).model.biases.all());
  expect_weights(saved);
}

TEST_F(Pretrained, RefusesMatricesOfBothLayouts) {
  Gpt2Folder saved = folder("mixed_layout");
  saved.make_nano_gpt("");
  saved.tensors["transformer.h.1.mlp.c_fc.weight"] = original_.tensors["transformer.h.1.mlp.c_fc.weight"];
  saved.write();
  EXPECT_THAT(refused(saved), AllOf(HasSubstr("h.1.mlp.c_fc.weight"), HasSubstr("transposed as the other matrices")));
}

TEST_F(Pretrained, ReadsATensorLargerThanAPiece) {
  constexpr std::int64_t kVocabulary = 20000;  // times 16 is more than 2^18
  original_ = Gpt2Folder(directory_.path() / "original", kVocabulary);
  Gpt2Folder saved(directory_.path() / "large", kVocabulary);
  saved.set_dtype(DType::kFloat16);
  saved.write();
  expect_weights(saved);
}

TEST_F(Pretrained, PassesMasksAndTheTiedHeadOver) {
  Gpt2Folder saved = folder("extras");
  saved.tensors["transformer.h.0.attn.bias"] = {.dtype = DType::kInt32, .shape = {1, 1, 8, 8}};
  saved.tensors["h.1.attn.masked_bias"] = {};
  saved.write();
  expect_weights(saved);

  // Values follow from the name, so only zeros are those of the embedding.
  saved.tensors["lm_head.weight"] = {.shape = {256, 16}, .scale = 0};
  saved.tensors["transformer.wte.weight"].scale = 0;
  original_.tensors["transformer.wte.weight"].scale = 0;
  saved.write();
  expect_weights(saved);
}

TEST_F(Pretrained, ReadsAnUntiedHead) {
  original_.config["tie_word_embeddings"] = false;
  original_.tensors["lm_head.weight"] = {.shape = {256, 16}};
  original_.write();
  EXPECT_FALSE(open_pretrained(original_.path()).model.tie_weights);
  expect_weights(original_);
}

TEST_F(Pretrained, KnowsAModelWithoutBiasesUnlessTheyWereTrained) {
  Gpt2Folder saved = folder("virgil");
  saved.config["virgil"] = {{"bias", false}};
  for (auto& [name, tensor] : saved.tensors) tensor.scale = name.ends_with(".bias") ? -0.0F : 1.0F;
  saved.write();
  EXPECT_FALSE(open_pretrained(saved.path()).model.biases.all()) << "zeros of either sign stand for no biases";
  expect_weights(saved);

  saved.tensors["transformer.h.1.mlp.c_fc.bias"].scale = 1;
  saved.write();
  EXPECT_TRUE(open_pretrained(saved.path()).model.biases.all());
  original_.tensors = saved.tensors;
  expect_weights(saved);

  std::erase_if(saved.tensors, [](const auto& item) { return item.first.ends_with(".bias"); });
  saved.write();
  EXPECT_FALSE(open_pretrained(saved.path()).model.biases.all());
}

TEST_F(Pretrained, TellsTheSizes) {
  Gpt2Folder saved = folder("sizes");
  saved.config["resid_pdrop"] = 0.1;
  saved.write();
  const Architecture sizes = open_pretrained(saved.path()).model;
  EXPECT_EQ(sizes.num_layers, 2);
  EXPECT_EQ(sizes.block_size, 8);
  EXPECT_EQ(sizes.vocab_size, 256);
  EXPECT_EQ(sizes.dropout, 0) << "how to train is not the weights' to say";
}

TEST_F(Pretrained, ShortensTheContext) {
  Gpt2Folder saved = folder("long");
  saved.set_dtype(DType::kBFloat16);
  saved.write();
  PretrainedModel model = open_pretrained(saved.path());
  shorten_context(model, 5);
  EXPECT_EQ(model.model.block_size, 5);
  const auto backend = make_cpu_backend({.num_threads = 1});
  const MemoryPlan plan(trainable(model.model), {.decode = DecodeShape{.num_sequences = 1, .max_length = 5}},
                        backend->traits());
  const PlannedMemory memory(plan, backend->memory());
  const TensorView flat = memory.view(PlanSlot::kWeights, 0, DType::kFloat32, {plan.parameters().flat_elements()});
  load_parameters(*backend, plan.parameters(), model, FlatTensor::whole(plan.parameters(), flat));
  const ParameterSpec& positions = plan.parameters().find("transformer.wpe.weight");
  ASSERT_EQ(positions.stored_shape, (Shape{5, 16}));
  const auto* values = static_cast<const float*>(flat.data()) + positions.offset;
  const Gpt2Folder::Tensor& original = saved.tensors["transformer.wpe.weight"];
  for (std::int64_t i = 0; i < 80; ++i) EXPECT_EQ(values[i], Gpt2Folder::value("transformer.wpe.weight", original, i));
}

TEST_F(Pretrained, FindsTheTokenizer) {
  Gpt2Folder saved = folder("bytes");
  saved.write();
  EXPECT_EQ(tokenizer_spec(open_pretrained(saved.path())), std::nullopt);
  EXPECT_THAT(user_error_of([&] { (void)load_tokenizer(open_pretrained(saved.path())); }),
              AllOf(HasSubstr("no tokenizer"), HasSubstr("256"), HasSubstr("50257"), HasSubstr("--save_tokenizer")));
  const auto bytes = make_tokenizer("byte", "");
  test_support::write_all(saved.path() / bytes->files()[0].name, bytes->files()[0].content);
  EXPECT_EQ(tokenizer_spec(open_pretrained(saved.path())), fs::absolute(saved.path()).string());
  EXPECT_EQ(load_tokenizer(open_pretrained(saved.path()))->name(), "byte");

  Gpt2Folder small(directory_.path() / "small", 100);
  small.write();
  test_support::write_all(small.path() / bytes->files()[0].name, bytes->files()[0].content);
  EXPECT_THAT(user_error_of([&] { (void)load_tokenizer(open_pretrained(small.path())); }),
              AllOf(HasSubstr("byte has 256 tokens"), HasSubstr("vocab_size is 100")));

  const Gpt2Folder gpt2(directory_.path() / "gpt2", 50257);
  gpt2.write();
  EXPECT_EQ(tokenizer_spec(open_pretrained(gpt2.path())), "gpt2");
  test_support::write_all(gpt2.path() / "tokenizer.model", "x");
  EXPECT_EQ(tokenizer_spec(open_pretrained(gpt2.path())), std::nullopt) << "of another kind, and as many tokens";
  test_support::write_all(gpt2.path() / "vocab.json", "{}");
  EXPECT_EQ(tokenizer_spec(open_pretrained(gpt2.path())), fs::absolute(gpt2.path()).string()) << "its own";
}

// --- Refusals ---------------------------------------------------------------------------------------------------------------

TEST_F(Pretrained, RefusesFoldersThatLackAFile) {
  EXPECT_THAT(refused(folder("empty")), AllOf(HasSubstr("config.json: missing"), HasSubstr("empty")));
  const Gpt2Folder no_weights = folder("no_weights");
  no_weights.write_config();
  EXPECT_THAT(refused(no_weights), AllOf(HasSubstr("no_weights"), HasSubstr("model.safetensors")));
  test_support::write_all(no_weights.path() / "pytorch_model.bin", "x");
  EXPECT_THAT(refused(no_weights), AllOf(HasSubstr("pytorch_model.bin"), HasSubstr("save_pretrained")));
  test_support::write_all(no_weights.path() / "model.safetensors",
                          "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
  EXPECT_THAT(refused(no_weights), HasSubstr("git lfs pull"));
  EXPECT_THAT(user_error_of([&] { (void)open_pretrained(directory_.path() / "absent"); }), HasSubstr("no such checkpoint"));
  EXPECT_THAT(user_error_of([&] { (void)open_pretrained(no_weights.path() / "config.json"); }), HasSubstr("give the folder"));
}

TEST_F(Pretrained, RefusesValuesThatAreNotFinite) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
    Gpt2Folder spoilt = folder("spoilt");
    spoilt.set_dtype(dtype);
    spoilt.tensors["transformer.h.1.mlp.c_fc.bias"].scale = std::numeric_limits<float>::quiet_NaN();
    spoilt.tensors["transformer.ln_f.weight"].scale = std::numeric_limits<float>::infinity();
    spoilt.write();
    EXPECT_THAT(refused(spoilt),
                AllOf(HasSubstr("spoilt: transformer.h.1.mlp.c_fc.bias holds 64 values of 64 that are NaN or infinite"),
                      HasSubstr("the first at [0]"), HasSubstr("1 more tensor")))
        << name_of(dtype);
  }
}

TEST_F(Pretrained, KnowsValuesThatANarrowTypeCannotHold) {
  Gpt2Folder large = folder("large");
  large.tensors["transformer.h.1.mlp.c_fc.bias"].scale = 1e5F;
  large.write();
  const PretrainedModel model = open_pretrained(large.path());
  check_representable(model.tensors, DType::kFloat32, "large");
  check_representable(model.tensors, DType::kBFloat16, "large");
  EXPECT_THAT(user_error_of([&] { check_representable(model.tensors, DType::kFloat16, "large"); }),
              AllOf(HasSubstr("large: transformer.h.1.mlp.c_fc.bias holds a value of "), HasSubstr("infinite in float16"),
                    HasSubstr("--dtype float32")));
}

TEST_F(Pretrained, RefusesTensorsThatDoNotFitTheConfig) {
  const auto with = [&](auto&& change) {
    Gpt2Folder changed = folder("changed");
    change(changed);
    changed.write();
    return refused(changed);
  };
  EXPECT_THAT(with([](auto& f) { f.tensors.erase("transformer.h.1.ln_2.bias"); }),
              AllOf(HasSubstr("transformer.h.1.ln_2.bias is missing"), HasSubstr("changed")));
  EXPECT_THAT(with([](auto& f) { f.config["n_layer"] = 3; }), HasSubstr("transformer.h.2.ln_1.weight is missing"));
  EXPECT_THAT(with([](auto& f) { f.config["n_layer"] = 1; }), AllOf(HasSubstr("transformer.h.1."), HasSubstr("1 layers")));
  EXPECT_THAT(with([](auto& f) { f.config["n_embd"] = 32; }),
              AllOf(HasSubstr("wte.weight\" is (256, 16)"), HasSubstr("(256, 32)")));
  EXPECT_THAT(with([](auto& f) { f.tensors["transformer.ln_f.weight"].dtype = DType::kInt32; }),
              AllOf(HasSubstr("ln_f.weight"), HasSubstr("I32")));
  EXPECT_THAT(with([](auto& f) { f.tensors["score.weight"] = {.shape = {2, 16}}; }), HasSubstr("score.weight"));
  EXPECT_THAT(with([](auto& f) {
                f.tensors["wte.weight"] = {.shape = {256, 16}};
              }),
              AllOf(HasSubstr("\"wte.weight\""), HasSubstr("the same tensor")));
  EXPECT_THAT(with([](auto& f) {
                f.tensors["lm_head.weight"] = {.shape = {256, 16}};
              }),
              AllOf(HasSubstr("lm_head.weight differs"), HasSubstr("tie_word_embeddings")));
  EXPECT_THAT(with([](auto& f) { f.config["tie_word_embeddings"] = false; }), HasSubstr("lm_head.weight is missing"));
}

TEST_F(Pretrained, RefusesShardsThatDoNotFitTheIndex) {
  Gpt2Folder saved = folder("shards");
  saved.write_shards(3);
  const std::string second = Gpt2Folder::shard_name(1);
  const std::string content = test_support::read_all(saved.path() / second);
  fs::remove(saved.path() / second);
  EXPECT_THAT(refused(saved), AllOf(HasSubstr(second + ": missing"), HasSubstr("index.json")));
  fs::create_directory(saved.path() / second);
  EXPECT_THAT(refused(saved), HasSubstr(second + ": missing")) << "a folder is not a shard";
  fs::remove(saved.path() / second);
  saved.write_tensors(second, {});
  EXPECT_THAT(refused(saved), AllOf(HasSubstr(second), HasSubstr("does not hold")));
  saved.write_tensors(second, saved.tensors);
  EXPECT_THAT(refused(saved), HasSubstr("the same tensor")) << "a tensor in two shards";
  test_support::write_all(saved.path() / second, content.substr(0, content.size() - 1));
  EXPECT_THAT(refused(saved), AllOf(HasSubstr(second), HasSubstr("truncated")));
  test_support::write_all(saved.path() / second, content);
  EXPECT_NO_THROW((void)open_pretrained(saved.path()));

  saved.index["weight_map"]["transformer.wte.weight"] = "../shards/" + second;
  saved.write_index();
  EXPECT_THAT(refused(saved), AllOf(HasSubstr("index.json"), HasSubstr("../shards/")));
}

class PretrainedCheckpoint : public test_support::CheckpointFixture {};

TEST_F(PretrainedCheckpoint, OpensVirgilsOwn) {
  const CheckpointContents contents = make_contents(7);
  save_checkpoint(*files_, best_, contents);
  const PretrainedModel model = open_pretrained(best_);
  EXPECT_TRUE(model.is_checkpoint);
  EXPECT_EQ(model.step, 7);
  EXPECT_FALSE(model.model.biases.all());
  ASSERT_EQ(model.tensors.size(), contents.parameters.size());
  for (std::size_t i = 0; i < model.tensors.size(); ++i) {
    EXPECT_EQ(model.tensors[i].name, contents.parameters[i].name);
    std::vector<std::byte> expected(model.tensors[i].bytes.size());
    contents.parameters[i].read(expected, 0);
    EXPECT_TRUE(std::ranges::equal(model.tensors[i].bytes, expected)) << model.tensors[i].name;
  }
  EXPECT_EQ(load_tokenizer(model)->name(), "byte");
}

TEST_F(PretrainedCheckpoint, OpensOneWhoseStateWasLeftBehindAsAForeignModel) {
  save_checkpoint(*files_, best_, make_contents(7));
  fs::remove(best_ / "training_state.json");
  EXPECT_THAT(user_error_of([&] { (void)open_pretrained(best_); }), HasSubstr("training_state.json: missing"))
      << "its hash is there: a file was lost";
  fs::remove(best_ / "training_state.sha256");
  const PretrainedModel model = open_pretrained(best_);
  EXPECT_FALSE(model.is_checkpoint);
  EXPECT_FALSE(model.model.biases.all());
}

}  // namespace
}  // namespace virgil
