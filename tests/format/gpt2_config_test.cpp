#include "format/gpt2_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "support/user_error.h"

namespace virgil {
namespace {

using OrderedJson = nlohmann::ordered_json;
using test_support::user_error_of;
using testing::AllOf;
using testing::HasSubstr;

OrderedJson good() {
  return {{"model_type", "gpt2"}, {"n_layer", 12},     {"n_head", 12},        {"n_embd", 768},
          {"n_positions", 1024},  {"n_inner", {}},     {"vocab_size", 50257}, {"activation_function", "gelu_new"},
          {"n_ctx", 1024},        {"resid_pdrop", 0.1}};
}

std::string gpt2_config_error(const std::string& text) {
  const std::string message = user_error_of([&] { (void)read_gpt2_config(text, "a/config.json"); });
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
  const ModelSizes sizes = read_gpt2_config(good().dump(), "config.json");
  EXPECT_EQ(sizes.num_layers, 12);
  EXPECT_EQ(sizes.num_heads, 12);
  EXPECT_EQ(sizes.embedding_dim, 768);
  EXPECT_EQ(sizes.block_size, 1024);
  EXPECT_EQ(sizes.vocab_size, 50257);
  EXPECT_EQ(sizes.d_ff, 3072);
  EXPECT_TRUE(sizes.bias);
  EXPECT_TRUE(sizes.tie_weights);
}

TEST(Gpt2Config, ReadsTheGeneralNamesOfTheSizes) {
  OrderedJson json = good();
  for (const char* key : {"n_layer", "n_head", "n_embd", "n_positions"}) json.erase(key);
  json["num_hidden_layers"] = 6;
  json["num_attention_heads"] = 4;
  json["hidden_size"] = 64;
  json["max_position_embeddings"] = 128;
  const ModelSizes sizes = read_gpt2_config(json.dump(), "config.json");
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
    EXPECT_NO_THROW((void)read_gpt2_config(json.dump(), "config.json")) << name;
  }
}

TEST(Gpt2Config, RefusesWhatIsAnotherFunction) {
  EXPECT_THAT(error_with("model_type", "llama"), AllOf(HasSubstr("llama"), HasSubstr("gpt2")));
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
      const ModelConfig model(read_gpt2_config(mutant, "config.json"));
      ASSERT_LE(model.num_layers(), 1024);
      ++num_accepted;
    } catch (const UserError&) {
    }
  }
  EXPECT_GT(num_accepted, 0);
}

}  // namespace
}  // namespace virgil
