// What the families that follow Llama (Touvron et al. 2023) share: rotary positions, RMSNorm, SwiGLU, the names of modules, and
// most of config.json.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "virgil/model/family.h"

namespace virgil::llama {

inline constexpr ModuleNames kModules{.token_embedding = "model.embed_tokens",
                                      .position_embedding = "model.embed_positions",
                                      .layers = "model.layers",
                                      .first_norm = "input_layernorm",
                                      .attention = "self_attn",
                                      .qkv = {},
                                      .query = "q_proj",
                                      .key = "k_proj",
                                      .value = "v_proj",
                                      .projection = "o_proj",
                                      .second_norm = "post_attention_layernorm",
                                      .mlp = "mlp",
                                      .gate = "gate_proj",
                                      .up = "up_proj",
                                      .down = "down_proj",
                                      .last_norm = "model.norm",
                                      .head = "lm_head"};

inline constexpr std::array kSizes = {
    ConfigSize{"num_hidden_layers", "num_hidden_layers", "n_layer", &Architecture::num_layers},
    ConfigSize{"num_attention_heads", "num_attention_heads", "n_head", &Architecture::num_heads},
    ConfigSize{"hidden_size", "hidden_size", "n_embd", &Architecture::embedding_dim},
    ConfigSize{"intermediate_size", "intermediate_size", "d_ff", &Architecture::d_ff},
    ConfigSize{"max_position_embeddings", "max_position_embeddings", "block_size", &Architecture::block_size},
    ConfigSize{"vocab_size", "vocab_size", "vocab_size", &Architecture::vocab_size},
    ConfigSize{"num_key_value_heads", "num_key_value_heads", "n_head", &Architecture::num_kv_heads, false},
    ConfigSize{"head_dim", "head_dim", "n_embd", &Architecture::head_size, false},
};

/// Of `family`, untied.
[[nodiscard]] Architecture usual(const Family& family);

/// All kinds but convolutions: the modules have room for a position embedding and for biases, whatever the family's own models
/// have.
[[nodiscard]] bool holds(const Architecture& model);

/// Sizes, positions, norms, the MLP's gate and whether the head is tied.
[[nodiscard]] Architecture read(const Family& family, const JsonObject& json);

/// Throws UserError for what the parts above do not tell.
void refuse_other_functions(const JsonObject& json, const std::string& where);

/// All of config.json that read() reads, and what transformers wants besides. `classname` such as "LlamaForCausalLM".
[[nodiscard]] nlohmann::ordered_json write(const Architecture& model, std::int32_t end_of_text, const char* classname);

/// `model` as a family's reader made it, with what only Virgil writes.
[[nodiscard]] Architecture as_written(Architecture model, const JsonObject& json);

}  // namespace virgil::llama
