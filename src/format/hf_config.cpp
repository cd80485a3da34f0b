#include "virgil/format/hf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/json.h"
#include "virgil/config/config_schema.h"

namespace virgil {

namespace {

using Json = nlohmann::ordered_json;

/// A size of a GPT-2.
struct Gpt2Size {
  const char* name;        // GPT2Config's
  const char* general;     // of every model, and preferred where both are given (GPT2Config.attribute_map)
  const char* config_key;  // Virgil's, whose range it has
  std::int64_t Architecture::*size;
};
constexpr Gpt2Size kLayers{"n_layer", "num_hidden_layers", "n_layer", &Architecture::num_layers};
constexpr Gpt2Size kHeads{"n_head", "num_attention_heads", "n_head", &Architecture::num_heads};
constexpr Gpt2Size kWidth{"n_embd", "hidden_size", "n_embd", &Architecture::embedding_dim};
constexpr Gpt2Size kPositions{"n_positions", "max_position_embeddings", "block_size", &Architecture::block_size};
constexpr Gpt2Size kVocabulary{"vocab_size", "vocab_size", "vocab_size", &Architecture::vocab_size};
constexpr Gpt2Size kMlpWidth{"n_inner", "n_inner", "d_ff", &Architecture::d_ff};
constexpr std::array kRequiredSizes = {kLayers, kHeads, kWidth, kPositions, kVocabulary};

constexpr const char* kModelType = "model_type";
constexpr const char* kGpt2 = "gpt2";
constexpr const char* kOldPositions = "n_ctx";  // stands for positions where nothing else does
constexpr const char* kTied = "tie_word_embeddings";
constexpr const char* kActivation = "activation_function";
constexpr const char* kTanhGelu = "gelu_new";
constexpr const char* kEpsilon = "layer_norm_epsilon";
constexpr double kEpsilonValue = 1e-5;
constexpr const char* kDropout = "resid_pdrop";
constexpr const char* kOwn = "virgil";  // what GPT2Config has no key for
constexpr const char* kBias = "bias";

const char* key_of(const Gpt2Size& size, const JsonObject& json) {
  if (json.has(size.general)) return size.general;
  return size.size == kPositions.size && !json.has(size.name) ? kOldPositions : size.name;
}

/// As they stand there, in range or not; d_ff 0 for the usual width.
Architecture read_gpt2_sizes(const JsonObject& json) {
  Architecture sizes;
  sizes.biases = Biases::everywhere(!json.has(kOwn) || json.object(kOwn).boolean_or(kBias, true));
  for (const Gpt2Size& size : kRequiredSizes) sizes.*size.size = json.integer(key_of(size, json));
  sizes.d_ff = json.integer_or(kMlpWidth.name, 0);
  sizes.tie_weights = json.boolean_or(kTied, true);
  sizes.dropout = 0;
  return sizes;
}

/// LlamaConfig, MistralConfig, Qwen2Config: rotary positions, RMSNorm, SwiGLU, untied unless said otherwise.
Architecture read_llama(const JsonObject& json, const std::string& where, const std::string& model_type) {
  const bool llama = model_type == "llama";
  const bool attention_bias = llama && json.boolean_or("attention_bias", false);
  const std::int64_t heads = json.integer(kHeads.general);
  return {.name = where,
          .num_layers = json.integer(kLayers.general),
          .num_heads = heads,
          .embedding_dim = json.integer(kWidth.general),
          .block_size = json.integer(kPositions.general),
          .vocab_size = json.integer(kVocabulary.general),
          .d_ff = json.integer("intermediate_size"),
          .num_kv_heads = json.integer_or("num_key_value_heads", model_type == "mistral" ? 8 : heads),
          .head_size = json.integer_or("head_dim", 0),
          .position = PositionKind::kRotary,
          .norm = NormKind::kRmsNorm,
          .mlp = MlpKind::kSwiGlu,
          .biases = {.qkv = attention_bias || model_type == "qwen2",
                     .projection = attention_bias,
                     .mlp = llama && json.boolean_or("mlp_bias", false)},
          .tie_weights = json.boolean_or(kTied, false)};
}

/// 0 stands for a default inside Architecture; in a file it is a mistake.
void refuse_zero(const JsonObject& json, const std::string& where) {
  for (const char* key : {kMlpWidth.name, "head_dim", "num_key_value_heads", "intermediate_size"}) {
    if (json.has(key) && json.integer(key) == 0) throw user_error("{}: \"{}\" is 0, but must be at least 1", where, key);
  }
}

/// Hostile sizes end here, before anything is made of them.
void check_ranges(const Architecture& sizes, const JsonObject& json, const std::string& where) {
  const auto check = [&](const Gpt2Size& size) {
    const std::int64_t value = sizes.*size.size;
    const ConfigKey& range = *find_config_key(size.config_key);
    const auto smallest = std::max<std::int64_t>(1, static_cast<std::int64_t>(range.min));
    const auto largest = static_cast<std::int64_t>(range.max);
    if (value >= smallest && value <= largest) return;
    throw user_error("{}: \"{}\" is {}, but Virgil takes {} to {}", where, key_of(size, json), value, smallest, largest);
  };
  for (const Gpt2Size& size : kRequiredSizes) check(size);
  if (json.has(kMlpWidth.name)) check(kMlpWidth);
}

/// Refuses what would make the same weights another function.
void refuse_other_functions(const JsonObject& json, const std::string& where) {
  const auto refuse = [&](const char* key, const std::string& value, const char* wanted) {
    throw user_error("{}: \"{}\" is {}; Virgil computes GPT-2 with {} only, and would not give this model's results", where,
                     key, value, wanted);
  };
  const std::string activation = json.string_or(kActivation, kTanhGelu);
  // Three names of the tanh form.
  const bool is_tanh = activation == kTanhGelu || activation == "gelu_pytorch_tanh" || activation == "gelu_fast";
  if (!is_tanh) refuse(kActivation, quoted_excerpt(activation), kTanhGelu);
  if (!json.boolean_or("scale_attn_weights", true)) refuse("scale_attn_weights", "false", "true");
  if (json.boolean_or("scale_attn_by_inverse_layer_idx", false)) refuse("scale_attn_by_inverse_layer_idx", "true", "false");
  if (json.boolean_or("add_cross_attention", false)) refuse("add_cross_attention", "true", "false");
  if (json.has("quantization_config")) refuse("quantization_config", "set", "plain weights");
  const double epsilon = json.number_or(kEpsilon, kEpsilonValue);
  if (epsilon != kEpsilonValue) refuse(kEpsilon, fmt::format("{}", epsilon), "1e-05");
}

/// Of a GPT-2 that Virgil computes.
Architecture read_computable(const JsonObject& json, const std::string& where) {
  const std::string model_type = json.string(kModelType);
  if (model_type != kGpt2) {
    throw user_error("{}: model_type is {}; only weights of a GPT-2 (\"gpt2\") can be read", where, quoted_excerpt(model_type));
  }
  refuse_other_functions(json, where);
  const Architecture sizes = read_gpt2_sizes(json);
  check_ranges(sizes, json, where);
  return sizes;
}

/// With what 0 stands for.
Architecture completed(const Architecture& sizes, const std::string& where) {
  try {
    return trainable(sizes);
  } catch (const UserError& error) {
    throw user_error("{}: {}", where, error.what());
  }
}

}  // namespace

Architecture parse_hf_config(std::string_view json_text, const std::string& where) {
  const Json parsed = parse_json(json_text, where);
  const JsonObject json(parsed, where);
  const std::string model_type = json.string(kModelType);
  refuse_zero(json, where);
  if (model_type == kGpt2) {
    Architecture model = read_gpt2_sizes(json);
    model.name = where;
    return checked(std::move(model));
  }
  if (model_type == "llama" || model_type == "mistral" || model_type == "qwen2") {
    return checked(read_llama(json, where, model_type));
  }
  throw user_error("{}: model_type is {}; gpt2, llama, mistral and qwen2 can be counted", where, quoted_excerpt(model_type));
}

Architecture read_gpt2_config(std::string_view json_text, const std::string& where) {
  const Json parsed = parse_json(json_text, where);
  return completed(read_computable(JsonObject(parsed, where), where), where);
}

Architecture read_checkpoint_config(std::string_view json_text, const std::string& where) {
  const Json parsed = parse_json(json_text, where);
  const JsonObject json(parsed, where);
  Architecture sizes = read_computable(json, where);
  sizes.biases = Biases::everywhere(json.object(kOwn).boolean(kBias));
  sizes.dropout = static_cast<float>(json.number(kDropout));
  return completed(sizes, where);
}

std::string write_gpt2_config(const Architecture& model, std::int32_t end_of_text) {
  // Through text, so that 0.1F is written as 0.1 and not as 0.10000000149.
  const double dropout = Json::parse(fmt::format("{}", model.dropout)).get<double>();
  const Json end_id = end_of_text >= 0 ? Json(end_of_text) : Json(nullptr);
  const bool usual_width = model.d_ff == 4 * model.embedding_dim;
  const Json json = {
      {"architectures", Json::array({"GPT2LMHeadModel"})},
      {kModelType, kGpt2},
      {kVocabulary.name, model.vocab_size},
      {kPositions.name, model.block_size},
      {kOldPositions, model.block_size},
      {kWidth.name, model.embedding_dim},
      {kLayers.name, model.num_layers},
      {kHeads.name, model.num_heads},
      {kMlpWidth.name, usual_width ? Json(nullptr) : Json(model.d_ff)},
      {kActivation, kTanhGelu},
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
  return json.dump(2) + "\n";
}

}  // namespace virgil
