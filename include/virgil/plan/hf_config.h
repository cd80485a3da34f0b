// A Hugging Face config.json, read as untrusted text.
#pragma once

#include <string>
#include <string_view>

#include "virgil/plan/architecture.h"

namespace virgil {

/// Understands model_type gpt2, llama, mistral and qwen2, and the keys that decide parameter counts; all others are ignored.
/// A "virgil" object (docs/checkpoints.md) tells a model without biases. Absent keys take the defaults of `transformers`.
/// Throws UserError naming `where`, the key and the remedy: not JSON, an unknown model_type, a missing size, a value of the
/// wrong type or out of range.
[[nodiscard]] ArchitectureSpec parse_hf_config(std::string_view json_text, const std::string& where);

}  // namespace virgil
