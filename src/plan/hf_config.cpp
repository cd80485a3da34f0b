#include "virgil/plan/hf_config.h"

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"

namespace virgil {

namespace {

/// GPT2Config: fused attention, learned positions, biases, tied unless said otherwise.
ArchitectureSpec read_gpt2(const JsonObject& json, const std::string& where) {
  const bool bias = json.has("virgil") ? json.object("virgil").boolean_or("bias", true) : true;
  return {.name = where,
          .num_layers = json.integer(gpt2_key(json, "n_layer")),
          .num_heads = json.integer(gpt2_key(json, "n_head")),
          .embedding_dim = json.integer(gpt2_key(json, "n_embd")),
          .d_ff = json.integer_or("n_inner", 0),
          .block_size = json.integer(gpt2_key(json, "n_positions")),
          .vocab_size = json.integer("vocab_size"),
          .qkv_bias = bias,
          .projection_bias = bias,
          .mlp_bias = bias,
          .norm_bias = bias,
          .tie_weights = json.boolean_or("tie_word_embeddings", true)};
}

/// LlamaConfig, MistralConfig, Qwen2Config: rotary positions, RMSNorm, SwiGLU, untied unless said otherwise.
ArchitectureSpec read_llama(const JsonObject& json, const std::string& where, const std::string& model_type) {
  const bool llama = model_type == "llama";
  const bool attention_bias = llama && json.boolean_or("attention_bias", false);
  const std::int64_t heads = json.integer("num_attention_heads");
  return {.name = where,
          .num_layers = json.integer("num_hidden_layers"),
          .num_heads = heads,
          .num_kv_heads = json.integer_or("num_key_value_heads", model_type == "mistral" ? 8 : heads),
          .head_size = json.integer_or("head_dim", 0),
          .embedding_dim = json.integer("hidden_size"),
          .d_ff = json.integer("intermediate_size"),
          .block_size = json.integer("max_position_embeddings"),
          .vocab_size = json.integer("vocab_size"),
          .position = PositionKind::kRotary,
          .norm = NormKind::kRmsNorm,
          .mlp = MlpKind::kSwiGlu,
          .qkv_bias = attention_bias || model_type == "qwen2",
          .projection_bias = attention_bias,
          .mlp_bias = llama && json.boolean_or("mlp_bias", false),
          .tie_weights = json.boolean_or("tie_word_embeddings", false)};
}

/// 0 stands for a default inside ArchitectureSpec; in a file it is a mistake.
void refuse_zero(const JsonObject& json, const std::string& where) {
  for (const char* key : {"n_inner", "head_dim", "num_key_value_heads", "intermediate_size"}) {
    if (json.has(key) && json.integer(key) == 0) throw user_error("{}: \"{}\" is 0, but must be at least 1", where, key);
  }
}

}  // namespace

const char* gpt2_key(const JsonObject& json, const char* key) {
  struct Alias {
    std::string_view key;
    const char* name;
  };
  constexpr std::array kAliases = {Alias{"n_layer", "num_hidden_layers"}, Alias{"n_head", "num_attention_heads"},
                                   Alias{"n_embd", "hidden_size"}, Alias{"n_positions", "max_position_embeddings"}};
  for (const Alias& alias : kAliases) {
    if (alias.key == key && json.has(alias.name)) return alias.name;
  }
  return std::string_view(key) == "n_positions" && !json.has(key) ? "n_ctx" : key;
}

ArchitectureSpec parse_hf_config(std::string_view json_text, const std::string& where) {
  const nlohmann::ordered_json parsed = parse_json(json_text, where);
  const JsonObject json(parsed, where);
  const std::string model_type = json.string("model_type");
  refuse_zero(json, where);
  if (model_type == "gpt2") return checked(read_gpt2(json, where));
  if (model_type == "llama" || model_type == "mistral" || model_type == "qwen2") {
    return checked(read_llama(json, where, model_type));
  }
  throw user_error("{}: model_type is {}; gpt2, llama, mistral and qwen2 can be counted", where, quoted_excerpt(model_type));
}

}  // namespace virgil
