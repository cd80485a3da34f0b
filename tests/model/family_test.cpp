#include "virgil/model/family.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "support/user_error.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/model/parameter_table.h"

namespace virgil {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Families, AreFoundByTheirModelType) {
  for (const Family* family : families()) EXPECT_EQ(find_family(family->model_type), family);
  EXPECT_EQ(find_family("gpt"), nullptr);
  EXPECT_EQ(find_family(""), nullptr);
  EXPECT_EQ(family_names(false), "gpt2, virgil, llama, mistral and qwen2");
  EXPECT_EQ(family_names(true), "gpt2, virgil, llama, mistral and qwen2");
}

TEST(Families, HoldTheirUsualModels) {
  for (const Family* family : families()) {
    const Architecture usual = family->usual();
    EXPECT_EQ(usual.family, family) << family->model_type;
    EXPECT_TRUE(family->holds(usual)) << family->model_type;
  }
}

/// Sizes that are all different, with grouped heads where the family's config.json can tell them.
nlohmann::ordered_json config_of(const Family& family) {
  nlohmann::ordered_json json = {{"model_type", family.model_type}};
  if (&family == &kVirgilFamily) json["virgil"]["conv_taps"] = 3;
  for (const ConfigSize& size : family.sizes) {
    const std::int64_t value = size.member == &Architecture::num_layers      ? 3
                               : size.member == &Architecture::num_heads     ? 4
                               : size.member == &Architecture::num_kv_heads  ? 2
                               : size.member == &Architecture::head_size     ? 8
                               : size.member == &Architecture::embedding_dim ? 32
                               : size.member == &Architecture::block_size    ? 20
                               : size.member == &Architecture::vocab_size    ? 99
                                                                             : 48;
    json[size.name] = value;
  }
  return json;
}

TEST(Families, NameEveryParameterOnce) {
  for (const Family* family : families()) {
    const nlohmann::ordered_json json = config_of(*family);
    const Architecture model = checked(family->read(JsonObject(json, "c")));
    std::set<std::string> names;
    const ParameterLayout layout(model);
    for (const ParameterSpec& spec : layout.parameters()) {
      EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
      EXPECT_EQ(spec.name.find(".."), std::string::npos) << spec.name;
      EXPECT_TRUE(spec.name.ends_with(".weight") || spec.name.ends_with(".bias")) << spec.name;
    }
  }
}

std::vector<std::string> names_and_shapes(const Architecture& model) {
  std::vector<std::string> texts;
  for (const ParameterSpec& spec : list_parameters(model)) texts.push_back(spec.name + " " + spec.stored_shape.to_string());
  return texts;
}

// As Qwen2ForCausalLM of transformers stores them: outputs first, biases on queries, keys and values.
TEST(Families, Qwen2HasLlamasNamesAndBiasesOnQueriesKeysAndValues) {
  const nlohmann::ordered_json json = config_of(kQwen2Family);
  Architecture model = checked(kQwen2Family.read(JsonObject(json, "c")));
  model.num_layers = 1;
  EXPECT_THAT(
      names_and_shapes(model),
      ElementsAre("model.embed_tokens.weight (99, 32)", "model.layers.0.input_layernorm.weight (32)",
                  "model.layers.0.self_attn.q_proj.weight (32, 32)", "model.layers.0.self_attn.k_proj.weight (16, 32)",
                  "model.layers.0.self_attn.v_proj.weight (16, 32)", "model.layers.0.self_attn.q_proj.bias (32)",
                  "model.layers.0.self_attn.k_proj.bias (16)", "model.layers.0.self_attn.v_proj.bias (16)",
                  "model.layers.0.self_attn.o_proj.weight (32, 32)", "model.layers.0.post_attention_layernorm.weight (32)",
                  "model.layers.0.mlp.gate_proj.weight (48, 32)", "model.layers.0.mlp.up_proj.weight (48, 32)",
                  "model.layers.0.mlp.down_proj.weight (32, 48)", "model.norm.weight (32)", "lm_head.weight (99, 32)"));
}

TEST(Families, VirgilHasGpt2sModulesAndConvolutions) {
  const nlohmann::ordered_json json = config_of(kVirgilFamily);
  Architecture model = checked(kVirgilFamily.read(JsonObject(json, "c")));
  EXPECT_EQ(model.conv_taps, 3);
  model.num_layers = 1;
  model.biases = {};
  EXPECT_THAT(
      names_and_shapes(model),
      ElementsAre("transformer.wte.weight (99, 32)", "transformer.wpe.weight (20, 32)", "transformer.h.0.ln_1.weight (32)",
                  "transformer.h.0.attn.conv.weight (96)", "transformer.h.0.attn.c_attn.weight (32, 96)",
                  "transformer.h.0.attn.c_proj.weight (32, 32)", "transformer.h.0.ln_2.weight (32)",
                  "transformer.h.0.mlp.conv.weight (96)", "transformer.h.0.mlp.c_fc.weight (32, 48)",
                  "transformer.h.0.mlp.c_proj.weight (48, 32)", "transformer.ln_f.weight (32)"));
}

TEST(Families, WithoutConvolutionsRefuseThem) {
  Architecture model{.num_layers = 1, .num_heads = 4, .embedding_dim = 32, .block_size = 20, .vocab_size = 99};
  model.conv_taps = 3;
  EXPECT_THAT(test_support::user_error_of([&] { (void)checked(model); }),
              AllOf(HasSubstr("conv_taps is 3"), HasSubstr("models of gpt2 have no convolutions")));
  model.family = &kVirgilFamily;
  EXPECT_EQ(checked(model).conv_taps, 3);
  model.conv_taps = 8;
  EXPECT_THAT(test_support::user_error_of([&] { (void)checked(model); }), HasSubstr("between 0 and 7"));
}

TEST(Families, Gpt2HoldsGroupedHeadsInItsFusedMatrix) {
  const Architecture model =
      checked({.num_layers = 1, .num_heads = 4, .embedding_dim = 32, .block_size = 20, .vocab_size = 99, .num_kv_heads = 2});
  const ParameterLayout layout(model);
  EXPECT_EQ(layout.find("transformer.h.0.attn.c_attn.weight").shape, (Shape{32, 32 + 2 * 16}));
  EXPECT_EQ(layout.find("transformer.h.0.attn.c_proj.weight").shape, (Shape{32, 32}));
}

TEST(Families, SayWhatTheyAreNotTrainedWith) {
  const auto refusal = [](Architecture model) { return test_support::user_error_of([&] { (void)trainable(model); }); };
  Architecture model{.num_layers = 1, .num_heads = 4, .embedding_dim = 32, .block_size = 20, .vocab_size = 99};
  model.num_kv_heads = 2;
  EXPECT_THAT(refusal(model), AllOf(HasSubstr("models of gpt2"), HasSubstr("grouped key and value heads")));
  model.num_kv_heads = 0;
  model.position = PositionKind::kRotary;
  model.norm = NormKind::kRmsNorm;
  EXPECT_THAT(refusal(model), AllOf(HasSubstr("rotary positions"), HasSubstr("norm rmsnorm")));
  const nlohmann::ordered_json json = config_of(kLlamaFamily);
  Architecture llama = kLlamaFamily.read(JsonObject(json, "c"));
  EXPECT_EQ(trainable(llama).num_kv_heads, 2);
  llama.head_size = 12;
  EXPECT_THAT(refusal(llama), HasSubstr("head_size is 12"));
  llama.head_size = 8;
  llama.position = PositionKind::kLearned;
  EXPECT_THAT(refusal(llama), AllOf(HasSubstr("models of llama"), HasSubstr("learned positions")));
}

// One product reads them: they must lie behind one another, whoever divides or updates them.
TEST(Families, JoinWhatOneProductReads) {
  const nlohmann::ordered_json json = config_of(kQwen2Family);
  const Architecture model = trainable(kQwen2Family.read(JsonObject(json, "c")));
  const std::vector<std::vector<const char*>> products = {
      {"self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"},
      {"self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"},
      {"mlp.gate_proj.weight", "mlp.up_proj.weight"}};
  for (const OptimizerKind kind : {OptimizerKind::kAdamW, OptimizerKind::kMuon}) {
    for (const std::int64_t shards : {1, 3}) {
      const ParameterLayout layout(model, shards, default_groups(kind));
      for (const auto& product : products) {
        const ParameterSpec* last = nullptr;
        for (const char* name : product) {
          const ParameterSpec& spec = layout.find(std::string("model.layers.1.") + name);
          EXPECT_EQ(spec.joined, last != nullptr) << name;
          if (last != nullptr) {
            EXPECT_EQ(spec.offset, last->offset + last->num_elements()) << name;
          }
          if (last != nullptr && spec.neuron_offset >= 0) {
            EXPECT_EQ(spec.neuron_offset, last->neuron_offset + last->num_neurons()) << name;
          }
          last = &spec;
        }
      }
    }
  }
}

}  // namespace
}  // namespace virgil
