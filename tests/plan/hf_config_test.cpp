#include "virgil/plan/hf_config.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "support/user_error.h"
#include "virgil/plan/catalogue.h"
#include "virgil/plan/tensor_table.h"

namespace virgil {
namespace {

using test_support::user_error_of;

constexpr const char* kGpt2 = R"({"model_type": "gpt2", "n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024,
  "vocab_size": 50257, "n_inner": null, "activation_function": "gelu_new"})";
constexpr const char* kLlama3 = R"({"model_type": "llama", "num_hidden_layers": 32, "num_attention_heads": 32,
  "num_key_value_heads": 8, "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 8192,
  "vocab_size": 128256, "tie_word_embeddings": false, "rope_theta": 500000.0})";
constexpr const char* kMistral = R"({"model_type": "mistral", "num_hidden_layers": 32, "num_attention_heads": 32,
  "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 32768, "vocab_size": 32000})";

std::int64_t total_of(const char* json) { return count_parameters(parse_hf_config(json, "config.json")).total; }

TEST(HfConfig, CountsAsTheCatalogueDoes) {
  EXPECT_EQ(total_of(kGpt2), 124439808);
  EXPECT_EQ(total_of(kLlama3), 8030261248);
  EXPECT_EQ(total_of(kMistral), 7241732096);  // 8 key and value heads by default
}

// Qwen2.5-0.5B's published shape: biases on query, key and value only, tied. transformers counts 494,032,768.
TEST(HfConfig, Qwen2HasBiasesOnQueryKeyAndValue) {
  EXPECT_EQ(total_of(R"({"model_type": "qwen2", "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
    "hidden_size": 896, "intermediate_size": 4864, "max_position_embeddings": 32768, "vocab_size": 151936,
    "tie_word_embeddings": true})"),
            494032768);
}

TEST(HfConfig, AVirgilCheckpointMayHaveNoBiases) {
  const ArchitectureSpec spec = parse_hf_config(R"({"model_type": "gpt2", "n_layer": 1, "n_head": 1, "n_embd": 8,
    "n_positions": 4, "vocab_size": 10, "virgil": {"bias": false}})",
                                                "config.json");
  EXPECT_FALSE(spec.qkv_bias || spec.projection_bias || spec.mlp_bias || spec.norm_bias);
  EXPECT_EQ(count_parameters(spec).total, 80 + 32 + 12 * 64 + 2 * 8 + 8);
}

TEST(HfConfig, ReadsWidthsAndTies) {
  const ArchitectureSpec gpt2 = parse_hf_config(R"({"model_type": "gpt2", "n_layer": 1, "n_head": 1, "n_embd": 8,
    "n_ctx": 4, "vocab_size": 10, "n_inner": 20, "tie_word_embeddings": false})",
                                                "c");
  EXPECT_EQ(gpt2.d_ff, 20);
  EXPECT_EQ(gpt2.block_size, 4);
  EXPECT_FALSE(gpt2.tie_weights);
}

// GPT2Config.attribute_map; where both names stand, transformers 5.24 takes the general one, whatever their order.
TEST(HfConfig, ReadsTheGeneralNamesOfGpt2sSizes) {
  const ArchitectureSpec spec = parse_hf_config(R"({"model_type": "gpt2", "num_hidden_layers": 3, "num_attention_heads": 4,
    "hidden_size": 32, "max_position_embeddings": 64, "vocab_size": 99})",
                                                "c");
  EXPECT_EQ(spec.num_layers, 3);
  EXPECT_EQ(spec.num_heads, 4);
  EXPECT_EQ(spec.embedding_dim, 32);
  EXPECT_EQ(spec.block_size, 64);
  const ArchitectureSpec both = parse_hf_config(R"({"model_type": "gpt2", "n_layer": 2, "num_hidden_layers": 5, "n_head": 1,
    "hidden_size": 32, "n_embd": 16, "max_position_embeddings": null, "n_positions": 8, "n_ctx": 9, "vocab_size": 99})",
                                                "c");
  EXPECT_EQ(both.num_layers, 5);
  EXPECT_EQ(both.embedding_dim, 32);
  EXPECT_EQ(both.block_size, 8);
}

TEST(HfConfig, DefectsAreNamed) {
  struct Case {
    const char* json;
    const char* says;
  };
  const Case cases[] = {
      {"", "not valid JSON"},
      {"[1, 2]", "must be a JSON object"},
      {"{\"model_type\": \"gpt2\"", "not valid JSON"},
      {"{}", "\"model_type\" is missing"},
      {R"({"model_type": "mamba"})", "model_type is \"mamba\""},
      {R"({"model_type": 3})", "must be a string"},
      {R"({"model_type": "gpt2"})", "\"n_layer\" is missing"},
      {R"({"model_type": "gpt2", "n_layer": "12"})", "must be a whole number"},
      {R"({"model_type": "gpt2", "n_layer": 12.5})", "must be a whole number"},
      {R"({"model_type": "gpt2", "n_layer": 99999999999999999999})", "must be a whole number"},
      {R"({"model_type": "gpt2", "n_layer": 18446744073709551615})", "must be a whole number"},
      {R"({"model_type": "gpt2", "n_layer": -1, "n_head": 1, "n_embd": 8, "n_positions": 4, "vocab_size": 10})",
       "n_layer is -1"},
      {R"({"model_type": "gpt2", "n_layer": 1, "n_head": 3, "n_embd": 8, "n_positions": 4, "vocab_size": 10})",
       "multiple of n_head"},
      {R"({"model_type": "gpt2", "n_layer": 1, "n_head": 0, "n_embd": 8, "n_positions": 4, "vocab_size": 10})", "n_head is 0"},
      {R"({"model_type": "gpt2", "n_layer": 1, "n_head": 1, "n_embd": 8, "n_positions": 4, "vocab_size": 10, "n_inner": 0})",
       "\"n_inner\" is 0"},
      {R"({"model_type": "gpt2", "n_layer": 1, "n_head": 1, "n_embd": 8, "n_positions": 4, "vocab_size": 10,
           "tie_word_embeddings": "yes"})",
       "must be true or false"},
      {R"({"model_type": "gpt2", "n_layer": 1, "n_head": 1, "n_embd": 1000000000, "n_positions": 4, "vocab_size": 10})",
       "n_embd is 1000000000"},
      {R"({"model_type": "gpt2", "virgil": 1, "n_layer": 1})", "must be a JSON object"},
  };
  for (const Case& c : cases) {
    const std::string message = user_error_of([&] { (void)parse_hf_config(c.json, "x/config.json"); });
    EXPECT_NE(message.find(c.says), std::string::npos) << c.json << "\n" << message;
    EXPECT_NE(message.find("x/config.json"), std::string::npos) << message;
  }
}

TEST(HfConfig, DeepNestingIsRefusedWithoutACrash) {
  const std::string deep = "{\"model_type\": " + std::string(100000, '[') + std::string(100000, ']') + "}";
  EXPECT_NE(user_error_of([&] { (void)parse_hf_config(deep, "deep"); }).find("deep"), std::string::npos);
}

}  // namespace
}  // namespace virgil
