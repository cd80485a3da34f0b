#include "model/families/llama_modules.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

#include "model/families/rope_json.h"
#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"

namespace virgil::llama {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kTied = "tie_word_embeddings";
constexpr const char* kActivation = "hidden_act";
constexpr const char* kSilu = "silu";
constexpr const char* kTanhGelu = "gelu_pytorch_tanh";
constexpr const char* kEpsilon = "rms_norm_eps";
constexpr double kUsualEpsilon = 1e-6;  // of transformers, where a file has none
constexpr const char* kOwn = "virgil";
constexpr const char* kDropout = "dropout";

bool is_tanh_gelu(std::string_view activation) {
  return activation == kTanhGelu || activation == "gelu_new" || activation == "gelu_fast";
}

}  // namespace

Architecture usual(const Family& family) {
  return {.family = &family,
          .position = PositionKind::kRotary,
          .norm = NormKind::kRmsNorm,
          .mlp = MlpKind::kSwiGlu,
          .tie_weights = false};
}

bool holds(const Architecture& model) { return model.conv_taps == 0; }

Architecture read(const Family& family, const JsonObject& json) {
  Architecture model = read_sizes(family, json);
  model.tie_weights = json.boolean_or(kTied, false);
  model.norm_epsilon = json.number_or(kEpsilon, kUsualEpsilon);
  model.rotary = read_rope(json, model);
  if (is_tanh_gelu(json.string_or(kActivation, kSilu))) model.mlp = MlpKind::kGeGlu;
  return model;
}

void refuse_other_functions(const JsonObject& json, const std::string& where) {
  const std::string activation = json.string_or(kActivation, kSilu);
  if (activation != kSilu && activation != "swish" && !is_tanh_gelu(activation)) {
    throw user_error("{}: \"{}\" is {}; Virgil computes silu and {}, and would not give this model's results", where,
                     kActivation, quoted_excerpt(activation), kTanhGelu);
  }
  for (const char* key : {"attention_bias", "mlp_bias"}) {
    if (json.boolean_or(key, false)) {
      throw user_error("{}: \"{}\" is true, and models with these biases are not trained by Virgil", where, key);
    }
  }
  if (json.has("quantization_config")) {
    throw user_error("{}: \"quantization_config\" is set; Virgil reads plain weights", where);
  }
  refuse_unknown_rope(json, where);
}

Json write(const Architecture& model, std::int32_t end_of_text, const char* classname) {
  // Through text, so that 0.1F is written as 0.1 and not as 0.10000000149.
  const double dropout = Json::parse(fmt::format("{}", model.dropout)).get<double>();
  const Json end_id = end_of_text >= 0 ? Json(end_of_text) : Json(nullptr);
  Json json = {
      {"architectures", Json::array({classname})},
      {"model_type", model.family->model_type},
      {"vocab_size", model.vocab_size},
      {"max_position_embeddings", model.block_size},
      {"hidden_size", model.embedding_dim},
      {"intermediate_size", model.d_ff},
      {"num_hidden_layers", model.num_layers},
      {"num_attention_heads", model.num_heads},
      {"num_key_value_heads", model.num_kv_heads},
      {"head_dim", model.head_size},
      {kActivation, model.mlp == MlpKind::kGeGlu ? kTanhGelu : kSilu},
      {kEpsilon, model.norm_epsilon},
      {"initializer_range", 0.02},
      {"attention_dropout", 0.0},
      {kTied, model.tie_weights},
      {"bos_token_id", end_id},
      {"eos_token_id", end_id},
      {"torch_dtype", "float32"},
      {"use_cache", true},
      {kOwn, {{kDropout, dropout}}},
  };
  write_rope(json, model.rotary);
  return json;
}

Architecture as_written(Architecture model, const JsonObject& json) {
  model.dropout = static_cast<float>(json.object(kOwn).number(kDropout));
  return model;
}

}  // namespace virgil::llama
