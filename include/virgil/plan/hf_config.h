// A Hugging Face config.json, read as untrusted text.
#pragma once

#include <string>
#include <string_view>

#include "virgil/base/json.h"
#include "virgil/plan/architecture.h"

namespace virgil {

/// Understands model_type gpt2, llama, mistral and qwen2, and the keys that decide parameter counts; all others are ignored.
/// A "virgil" object (docs/checkpoints.md) tells a model without biases. Absent keys take the defaults of `transformers`.
/// Throws UserError naming `where`, the key and the remedy: not JSON, an unknown model_type, a missing size, a value of the
/// wrong type or out of range.
[[nodiscard]] ArchitectureSpec parse_hf_config(std::string_view json_text, const std::string& where);

/// The key that holds GPT-2's `key` ("n_layer", "n_head", "n_embd", "n_positions") in a config.json: transformers also takes
/// "num_hidden_layers", "num_attention_heads", "hidden_size" and "max_position_embeddings", and prefers those where both are
/// given (GPT2Config.attribute_map). "n_ctx" stands for positions where nothing else does.
[[nodiscard]] const char* gpt2_key(const JsonObject& json, const char* key);

}  // namespace virgil
