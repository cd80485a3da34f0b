#include "format/gpt2_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/json.h"
#include "virgil/config/config_schema.h"
#include "virgil/plan/hf_config.h"

namespace virgil {
namespace {

/// The value of `key`, within the range of the configuration key that stands for it: hostile sizes end here, before anything is
/// made of them.
std::int64_t read_size(const JsonObject& json, const char* key, const char* config_key, const std::string& where) {
  const std::int64_t value = json.integer(key);
  const ConfigKey& range = *find_config_key(config_key);
  const auto smallest = std::max<std::int64_t>(1, static_cast<std::int64_t>(range.min));
  const auto largest = static_cast<std::int64_t>(range.max);
  if (value < smallest || value > largest) {
    throw user_error("{}: \"{}\" is {}, but Virgil takes {} to {}", where, key, value, smallest, largest);
  }
  return value;
}

/// Refuses what would make the same weights another function.
void refuse_other_functions(const JsonObject& json, const std::string& where) {
  const auto refuse = [&](const char* key, const std::string& value, const char* wanted) {
    throw user_error("{}: \"{}\" is {}; Virgil computes GPT-2 with {} only, and would not give this model's results", where,
                     key, value, wanted);
  };
  const std::string activation = json.string_or("activation_function", "gelu_new");
  // Three names of the tanh form.
  const bool is_tanh = activation == "gelu_new" || activation == "gelu_pytorch_tanh" || activation == "gelu_fast";
  if (!is_tanh) refuse("activation_function", quoted_excerpt(activation), "gelu_new");
  if (!json.boolean_or("scale_attn_weights", true)) refuse("scale_attn_weights", "false", "true");
  if (json.boolean_or("scale_attn_by_inverse_layer_idx", false)) refuse("scale_attn_by_inverse_layer_idx", "true", "false");
  if (json.boolean_or("add_cross_attention", false)) refuse("add_cross_attention", "true", "false");
  if (json.has("quantization_config")) refuse("quantization_config", "set", "plain weights");
  const double epsilon = json.number_or("layer_norm_epsilon", 1e-5);
  if (epsilon != 1e-5) refuse("layer_norm_epsilon", fmt::format("{}", epsilon), "1e-05");
}

}  // namespace

ModelSizes read_gpt2_config(std::string_view text, const std::string& where) {
  const nlohmann::ordered_json parsed = parse_json(text, where);
  const JsonObject json(parsed, where);
  const std::string model_type = json.string("model_type");
  if (model_type != "gpt2") {
    throw user_error("{}: model_type is {}; only weights of a GPT-2 (\"gpt2\") can be read", where, quoted_excerpt(model_type));
  }
  refuse_other_functions(json, where);
  const ModelSizes sizes{
      .num_layers = read_size(json, gpt2_key(json, "n_layer"), "n_layer", where),
      .num_heads = read_size(json, gpt2_key(json, "n_head"), "n_head", where),
      .embedding_dim = read_size(json, gpt2_key(json, "n_embd"), "n_embd", where),
      .block_size = read_size(json, gpt2_key(json, "n_positions"), "block_size", where),
      .vocab_size = read_size(json, "vocab_size", "vocab_size", where),
      .d_ff = json.has("n_inner") ? read_size(json, "n_inner", "d_ff", where) : 0,
      .bias = !json.has("virgil") || json.object("virgil").boolean_or("bias", true),
      .tie_weights = json.boolean_or("tie_word_embeddings", true),
      .dropout = 0,
  };
  try {
    return ModelConfig(sizes).sizes();
  } catch (const UserError& error) {
    throw user_error("{}: {}", where, error.what());
  }
}

}  // namespace virgil
