// GPT-2 (Radford et al. 2019), as GPT2LMHeadModel of transformers names and stores it; and the same with parts for which that
// class has no modules, under a model_type of Virgil's own: transformers must not open it and compute something else.
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/model/family.h"

namespace virgil {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kOldPositions = "n_ctx";  // stands for positions where nothing else does
constexpr const char* kTied = "tie_word_embeddings";
constexpr const char* kActivation = "activation_function";
constexpr const char* kTanhGelu = "gelu_new";
constexpr const char* kReluSquared = "relu2";
constexpr const char* kEpsilon = "layer_norm_epsilon";
constexpr double kEpsilonValue = 1e-5;
constexpr const char* kDropout = "resid_pdrop";
constexpr const char* kOwn = "virgil";  // what GPT2Config has no key for
constexpr const char* kBias = "bias";
constexpr const char* kConvTaps = "conv_taps";

// GPT2Config.attribute_map holds the general names.
constexpr std::array kGpt2Sizes = {
    ConfigSize{"n_layer", "num_hidden_layers", "n_layer", &Architecture::num_layers},
    ConfigSize{"n_head", "num_attention_heads", "n_head", &Architecture::num_heads},
    ConfigSize{"n_embd", "hidden_size", "n_embd", &Architecture::embedding_dim},
    ConfigSize{"n_positions", "max_position_embeddings", "block_size", &Architecture::block_size, true, kOldPositions},
    ConfigSize{"vocab_size", "vocab_size", "vocab_size", &Architecture::vocab_size},
    ConfigSize{"n_inner", "n_inner", "d_ff", &Architecture::d_ff, false},
};

Architecture usual_gpt2() { return {.family = &kGpt2Family, .biases = kAllBiases}; }
Architecture usual_virgil() { return {.family = &kVirgilFamily, .biases = kAllBiases}; }

bool holds_virgil(const Architecture& model) {
  return model.position == PositionKind::kLearned && model.norm == NormKind::kLayerNorm && !is_gated(model.mlp);
}
bool holds_gpt2(const Architecture& model) { return holds_virgil(model) && model.conv_taps == 0; }

Architecture read_any(const Family& family, const JsonObject& json) {
  const bool bias = !json.has(kOwn) || json.object(kOwn).boolean_or(kBias, true);
  Architecture model = read_sizes(family, json);
  model.biases = Biases::everywhere(bias);
  model.tie_weights = json.boolean_or(kTied, true);
  if (json.string_or(kActivation, kTanhGelu) == kReluSquared) model.mlp = MlpKind::kReluSquared;
  return model;
}

Architecture read_gpt2(const JsonObject& json) { return read_any(kGpt2Family, json); }

Architecture read_virgil(const JsonObject& json) {
  Architecture model = read_any(kVirgilFamily, json);
  model.conv_taps = json.object(kOwn).integer(kConvTaps);
  return model;
}

void refuse_other_gpt2(const JsonObject& json, const std::string& where) {
  const auto refuse = [&](const char* key, const std::string& value, const char* wanted) {
    throw user_error("{}: \"{}\" is {}; Virgil computes GPT-2 with {} only, and would not give this model's results", where,
                     key, value, wanted);
  };
  const std::string activation = json.string_or(kActivation, kTanhGelu);
  // Three names of the tanh form.
  const bool is_tanh = activation == kTanhGelu || activation == "gelu_pytorch_tanh" || activation == "gelu_fast";
  if (!is_tanh && activation != kReluSquared) refuse(kActivation, quoted_excerpt(activation), "gelu_new or relu2");
  if (!json.boolean_or("scale_attn_weights", true)) refuse("scale_attn_weights", "false", "true");
  if (json.boolean_or("scale_attn_by_inverse_layer_idx", false)) refuse("scale_attn_by_inverse_layer_idx", "true", "false");
  if (json.boolean_or("add_cross_attention", false)) refuse("add_cross_attention", "true", "false");
  if (json.has("quantization_config")) refuse("quantization_config", "set", "plain weights");
  const double epsilon = json.number_or(kEpsilon, kEpsilonValue);
  if (epsilon != kEpsilonValue) refuse(kEpsilon, fmt::format("{}", epsilon), "1e-05");
}

Json write_any(const Architecture& model, std::int32_t end_of_text) {
  // Through text, so that 0.1F is written as 0.1 and not as 0.10000000149.
  const double dropout = Json::parse(fmt::format("{}", model.dropout)).get<double>();
  const Json end_id = end_of_text >= 0 ? Json(end_of_text) : Json(nullptr);
  const bool usual_width = model.d_ff == 4 * model.embedding_dim;
  return {
      {"architectures", Json::array({model.family == &kGpt2Family ? "GPT2LMHeadModel" : "VirgilLMHeadModel"})},
      {"model_type", model.family->model_type},
      {"vocab_size", model.vocab_size},
      {"n_positions", model.block_size},
      {kOldPositions, model.block_size},
      {"n_embd", model.embedding_dim},
      {"n_layer", model.num_layers},
      {"n_head", model.num_heads},
      {"n_inner", usual_width ? Json(nullptr) : Json(model.d_ff)},
      {kActivation, model.mlp == MlpKind::kReluSquared ? kReluSquared : kTanhGelu},
      {kDropout, dropout},
      {"embd_pdrop", dropout},
      {"attn_pdrop", dropout},
      {kEpsilon, kEpsilonValue},
      {"initializer_range", 0.02},
      {kTied, model.tie_weights},
      {"bos_token_id", end_id},
      {"eos_token_id", end_id},
      {"torch_dtype", "float32"},
      {"use_cache", true},
      {kOwn, {{kBias, model.biases.all()}}},
  };
}

Json write_virgil(const Architecture& model, std::int32_t end_of_text) {
  Json json = write_any(model, end_of_text);
  json[kOwn][kConvTaps] = model.conv_taps;
  return json;
}

/// `model` as a reader above made it, with what only Virgil writes.
Architecture as_written(Architecture model, const JsonObject& json) {
  model.biases = Biases::everywhere(json.object(kOwn).boolean(kBias));
  model.dropout = static_cast<float>(json.number(kDropout));
  return model;
}
Architecture read_written_gpt2(const JsonObject& json) { return as_written(read_gpt2(json), json); }
Architecture read_written_virgil(const JsonObject& json) { return as_written(read_virgil(json), json); }

constexpr ModuleNames kGpt2Modules{.token_embedding = "transformer.wte",
                                   .position_embedding = "transformer.wpe",
                                   .layers = "transformer.h",
                                   .first_norm = "ln_1",
                                   .attention = "attn",
                                   .qkv = "c_attn",
                                   .query = {},
                                   .key = {},
                                   .value = {},
                                   .projection = "c_proj",
                                   .second_norm = "ln_2",
                                   .mlp = "mlp",
                                   .gate = {},
                                   .up = "c_fc",
                                   .down = "c_proj",
                                   .last_norm = "transformer.ln_f",
                                   .head = "lm_head"};

constexpr ModuleNames with_convolution(ModuleNames names) {
  names.convolution = "conv";
  return names;
}

}  // namespace

const Family kGpt2Family{
    .model_type = "gpt2",
    .modules = kGpt2Modules,
    .weight_order = WeightOrder::kInputsOutputs,
    .sizes = kGpt2Sizes,
    .usual = usual_gpt2,
    .holds = holds_gpt2,
    .read = read_gpt2,
    .has_all_biases = true,
    .refuse_other_functions = refuse_other_gpt2,
    .write = write_any,
    .read_written = read_written_gpt2,
};

const Family kVirgilFamily{
    .model_type = "virgil",
    .modules = with_convolution(kGpt2Modules),
    .weight_order = WeightOrder::kInputsOutputs,
    .sizes = kGpt2Sizes,
    .usual = usual_virgil,
    .holds = holds_virgil,
    .read = read_virgil,
    .has_all_biases = true,
    .refuse_other_functions = refuse_other_gpt2,
    .write = write_virgil,
    .read_written = read_written_virgil,
};

}  // namespace virgil
