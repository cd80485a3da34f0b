// config.json of Hugging Face transformers, read and written: the one place that knows its keys. What is read is untrusted
// text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "virgil/model/architecture.h"

namespace virgil {

// The readers throw UserError naming `where`, the key and the remedy: not JSON, a model_type that they do not know, a size that
// is missing, of the wrong type or out of range. Absent keys take the defaults of `transformers`. A "virgil" object
// (docs/checkpoints.md) tells a model without biases.

/// What counting needs: model_type gpt2, llama, mistral and qwen2, and the keys that decide parameter counts; all others are
/// ignored.
[[nodiscard]] Architecture parse_hf_config(std::string_view json_text, const std::string& where);

/// What loading weights of a GPT-2 needs: its sizes, within the ranges of the configuration keys that stand for them. Refuses
/// settings under which transformers computes something else than Virgil. Dropout, which is not the weights' to say, is 0.
[[nodiscard]] Architecture read_gpt2_config(std::string_view json_text, const std::string& where);

/// What write_gpt2_config wrote: the same, with the model's dropout.
[[nodiscard]] Architecture read_checkpoint_config(std::string_view json_text, const std::string& where);

/// For GPT2LMHeadModel. `end_of_text` is -1 when the vocabulary has none.
[[nodiscard]] std::string write_gpt2_config(const Architecture& model, std::int32_t end_of_text);

}  // namespace virgil
