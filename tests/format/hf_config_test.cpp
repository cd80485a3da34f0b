#include "virgil/format/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>

#include "support/user_error.h"
#include "virgil/plan/catalogue.h"
#include "virgil/plan/parameter_count.h"

namespace virgil {
namespace {

using OrderedJson = nlohmann::ordered_json;
using test_support::user_error_of;
using testing::AllOf;
using testing::HasSubstr;

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
  const Architecture spec = parse_hf_config(R"({"model_type": "gpt2", "n_layer": 1, "n_head": 1, "n_embd": 8,
    "n_positions": 4, "vocab_size": 10, "virgil": {"bias": false}})",
                                            "config.json");
  EXPECT_EQ(spec.biases, Biases{});
  EXPECT_EQ(count_parameters(spec).total, 80 + 32 + 12 * 64 + 2 * 8 + 8);
}

TEST(HfConfig, ReadsWidthsAndTies) {
  const Architecture gpt2 = parse_hf_config(R"({"model_type": "gpt2", "n_layer": 1, "n_head": 1, "n_embd": 8,
    "n_ctx": 4, "vocab_size": 10, "n_inner": 20, "tie_word_embeddings": false})",
                                            "c");
  EXPECT_EQ(gpt2.d_ff, 20);
  EXPECT_EQ(gpt2.block_size, 4);
  EXPECT_FALSE(gpt2.tie_weights);
}

// GPT2Config.attribute_map; where both names stand, transformers 5.24 takes the general one, whatever their order.
TEST(HfConfig, ReadsTheGeneralNamesOfGpt2sSizes) {
  const Architecture spec = parse_hf_config(R"({"model_type": "gpt2", "num_hidden_layers": 3, "num_attention_heads": 4,
    "hidden_size": 32, "max_position_embeddings": 64, "vocab_size": 99})",
                                            "c");
  EXPECT_EQ(spec.num_layers, 3);
  EXPECT_EQ(spec.num_heads, 4);
  EXPECT_EQ(spec.embedding_dim, 32);
  EXPECT_EQ(spec.block_size, 64);
  const Architecture both = parse_hf_config(R"({"model_type": "gpt2", "n_layer": 2, "num_hidden_layers": 5, "n_head": 1,
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

OrderedJson good() {
  return {{"model_type", "gpt2"}, {"n_layer", 12},     {"n_head", 12},        {"n_embd", 768},
          {"n_positions", 1024},  {"n_inner", {}},     {"vocab_size", 50257}, {"activation_function", "gelu_new"},
          {"n_ctx", 1024},        {"resid_pdrop", 0.1}};
}

std::string gpt2_config_error(const std::string& text) {
  const std::string message = user_error_of([&] { (void)read_weights_config(text, "a/config.json"); });
  EXPECT_THAT(message, HasSubstr("a/config.json: "));
  return message;
}

template <typename Value>
std::string error_with(const char* key, const Value& value) {
  OrderedJson json = good();
  json[key] = value;
  return gpt2_config_error(json.dump());
}

TEST(Gpt2Config, ReadsThePublishedForm) {
  const Architecture sizes = read_weights_config(good().dump(), "config.json");
  EXPECT_EQ(sizes.num_layers, 12);
  EXPECT_EQ(sizes.num_heads, 12);
  EXPECT_EQ(sizes.embedding_dim, 768);
  EXPECT_EQ(sizes.block_size, 1024);
  EXPECT_EQ(sizes.vocab_size, 50257);
  EXPECT_EQ(sizes.d_ff, 3072);
  EXPECT_TRUE(sizes.biases.all());
  EXPECT_TRUE(sizes.tie_weights);
}

TEST(Gpt2Config, ReadsTheGeneralNamesOfTheSizes) {
  OrderedJson json = good();
  for (const char* key : {"n_layer", "n_head", "n_embd", "n_positions"}) json.erase(key);
  json["num_hidden_layers"] = 6;
  json["num_attention_heads"] = 4;
  json["hidden_size"] = 64;
  json["max_position_embeddings"] = 128;
  const Architecture sizes = read_weights_config(json.dump(), "config.json");
  EXPECT_EQ(sizes.num_layers, 6);
  EXPECT_EQ(sizes.num_heads, 4);
  EXPECT_EQ(sizes.embedding_dim, 64);
  EXPECT_EQ(sizes.block_size, 128);
  json["hidden_size"] = 0;
  EXPECT_THAT(gpt2_config_error(json.dump()), HasSubstr("\"hidden_size\" is 0"));
}

TEST(Gpt2Config, TakesEveryNameOfTheTanhForm) {
  for (const char* name : {"gelu_new", "gelu_pytorch_tanh", "gelu_fast"}) {
    OrderedJson json = good();
    json["activation_function"] = name;
    EXPECT_NO_THROW((void)read_weights_config(json.dump(), "config.json")) << name;
  }
}

TEST(Gpt2Config, TakesReluSquared) {
  OrderedJson json = good();
  EXPECT_EQ(read_weights_config(json.dump(), "config.json").mlp, MlpKind::kGelu);
  json["activation_function"] = "relu2";
  EXPECT_EQ(read_weights_config(json.dump(), "config.json").mlp, MlpKind::kReluSquared);
}

// transformers would open the weights of convolutions without them, and say nothing of what it leaves out.
TEST(Gpt2Config, SaysThatConvolutionsAreNotGpt2s) {
  const Architecture model = trainable({.family = &kVirgilFamily,
                                        .num_layers = 2,
                                        .num_heads = 2,
                                        .embedding_dim = 48,
                                        .block_size = 20,
                                        .vocab_size = 300,
                                        .conv_taps = 2});
  OrderedJson json = OrderedJson::parse(write_hf_config(model, -1));
  EXPECT_EQ(json["model_type"], "virgil");
  EXPECT_EQ(json["architectures"][0], "VirgilLMHeadModel");
  json["virgil"]["conv_taps"] = 8;
  EXPECT_THAT(user_error_of([&] { (void)read_weights_config(json.dump(), "c"); }), HasSubstr("conv_taps is 8"));
  json["virgil"].erase("conv_taps");
  EXPECT_THAT(user_error_of([&] { (void)read_weights_config(json.dump(), "c"); }), HasSubstr("conv_taps"));
}

TEST(Gpt2Config, RefusesWhatIsAnotherFunction) {
  EXPECT_THAT(error_with("model_type", "bert"), AllOf(HasSubstr("bert"), HasSubstr("gpt2")));
  EXPECT_THAT(error_with("activation_function", "relu"), AllOf(HasSubstr("relu"), HasSubstr("gelu_new")));
  EXPECT_THAT(error_with("scale_attn_weights", false), HasSubstr("scale_attn_weights"));
  EXPECT_THAT(error_with("scale_attn_by_inverse_layer_idx", true), HasSubstr("scale_attn_by_inverse_layer_idx"));
  EXPECT_THAT(error_with("add_cross_attention", true), HasSubstr("add_cross_attention"));
  EXPECT_THAT(error_with("layer_norm_epsilon", 1e-6), AllOf(HasSubstr("layer_norm_epsilon"), HasSubstr("1e-06")));
  EXPECT_THAT(error_with("quantization_config", OrderedJson::object()), HasSubstr("quantization_config"));
}

TEST(Gpt2Config, RefusesSizesThatAreMissingOrOutOfRange) {
  for (const char* key : {"n_layer", "n_head", "n_embd", "n_positions", "vocab_size"}) {
    for (const OrderedJson& value :
         {OrderedJson(0), OrderedJson(-1), OrderedJson(INT64_MAX), OrderedJson(INT64_MIN), OrderedJson(UINT64_MAX),
          OrderedJson(1e300), OrderedJson("12"), OrderedJson(true), OrderedJson::array(), OrderedJson::object()}) {
      EXPECT_THAT(error_with(key, value), HasSubstr(key)) << value;
    }
    OrderedJson json = good();
    json.erase(key);
    json.erase("n_ctx");
    EXPECT_THAT(gpt2_config_error(json.dump()), HasSubstr(key[2] == 'p' ? "n_ctx" : key));
  }
  EXPECT_THAT(error_with("n_inner", 0), HasSubstr("n_inner"));
  EXPECT_THAT(error_with("n_head", 7), HasSubstr("768 is not a multiple of 7"));
}

TEST(Gpt2Config, RefusesWhatIsNoJsonObject) {
  for (const char* text : {"", "{", "[]", "3", "null", "{\"n_layer\": }", "\xff"}) (void)gpt2_config_error(text);
  (void)gpt2_config_error(std::string(100000, '['));
}

// Mutates a good file: whatever happens, it is refused with a UserError or gives sizes that are in range.
TEST(Gpt2Config, SurvivesMutations) {
  const std::string text = good().dump();
  const std::string alphabet = "0123456789{}[]:,\"-+.eEnull_true \\\xff";
  std::mt19937 random(20260101);
  const auto below = [&](std::size_t limit) { return random() % limit; };
  int num_accepted = 0;
  for (int i = 0; i < 50000; ++i) {
    std::string mutant = text;
    for (std::size_t n = 1 + below(3); n > 0 && !mutant.empty(); --n) {
      const std::size_t position = below(mutant.size());
      if (below(4) == 0) {
        mutant.erase(position, 1 + below(12));
      } else if (below(3) == 0) {
        mutant.insert(position, mutant.substr(below(mutant.size()), 1 + below(20)));
      } else {
        mutant[position] = alphabet[below(alphabet.size())];
      }
    }
    try {
      const Architecture model = trainable(read_weights_config(mutant, "config.json"));
      ASSERT_LE(model.num_layers, 1024);
      ++num_accepted;
    } catch (const UserError&) {
    }
  }
  EXPECT_GT(num_accepted, 0);
}

// With another width of the MLP than usual, no biases and an output of its own, as only a "virgil" object and its neighbours
// tell.
TEST(Gpt2Config, ComesBackAsItWasWritten) {
  const Architecture odd{.num_layers = 3,
                         .num_heads = 2,
                         .embedding_dim = 48,
                         .block_size = 20,
                         .vocab_size = 300,
                         .d_ff = 100,
                         .mlp = MlpKind::kReluSquared,
                         .biases = {},
                         .tie_weights = false,
                         .dropout = 0.1F};
  const Architecture usual{
      .num_layers = 2, .num_heads = 4, .embedding_dim = 32, .block_size = 8, .vocab_size = 99, .biases = kAllBiases};
  Architecture with_convolutions = odd;
  with_convolutions.family = &kVirgilFamily;
  with_convolutions.conv_taps = 3;
  for (const Architecture& sizes : {odd, usual, with_convolutions}) {
    const Architecture model = trainable(sizes);
    const std::string text = write_hf_config(model, -1);
    EXPECT_EQ(write_hf_config(trainable(read_checkpoint_config(text, "c")), -1), text);
    Architecture weights = read_weights_config(text, "c");
    EXPECT_EQ(std::exchange(weights.dropout, sizes.dropout), 0);
    EXPECT_EQ(write_hf_config(trainable(weights), -1), text);
    Architecture spec = model;
    spec.name = "c";
    spec.dropout = 0;
    spec.vocab_multiple = 1;  // padding is Virgil's
    EXPECT_EQ(parse_hf_config(text, "c"), spec);
  }
  EXPECT_EQ(OrderedJson::parse(write_hf_config(trainable(odd), 299))["eos_token_id"], 299);
}

TEST(Gpt2Config, OfACheckpointTellsBiasAndDropout) {
  OrderedJson json = good();
  EXPECT_THAT(user_error_of([&] { (void)read_checkpoint_config(json.dump(), "c"); }), HasSubstr("\"virgil\" is missing"));
  json["virgil"] = {{"bias", true}};
  json.erase("resid_pdrop");
  EXPECT_THAT(user_error_of([&] { (void)read_checkpoint_config(json.dump(), "c"); }), HasSubstr("\"resid_pdrop\" is missing"));
}

}  // namespace
}  // namespace virgil
