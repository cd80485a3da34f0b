// config.json of Hugging Face transformers, read and written as the families of models tell. What is read is untrusted text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "virgil/model/architecture.h"

namespace virgil {

// The readers throw UserError naming `where`, the key and the remedy: not JSON, a model_type that they do not know, a size that
// is missing, of the wrong type or out of range. Absent keys take the defaults of `transformers`. A "virgil" object
// (docs/checkpoints.md) tells a model without biases.

/// What counting needs, of every family: the keys that decide parameter counts; all others are ignored.
[[nodiscard]] Architecture parse_hf_config(std::string_view json_text, const std::string& where);

/// What loading weights needs, of a family that is trained: sizes within the ranges of the configuration keys that stand for
/// them. Refuses settings under which transformers computes something else than Virgil. Dropout, which is not the weights' to
/// say, is 0.
[[nodiscard]] Architecture read_weights_config(std::string_view json_text, const std::string& where);

/// What write_hf_config wrote: the same, with the model's dropout.
[[nodiscard]] Architecture read_checkpoint_config(std::string_view json_text, const std::string& where);

/// For the model's class in transformers. `end_of_text` is -1 when the vocabulary has none.
[[nodiscard]] std::string write_hf_config(const Architecture& model, std::int32_t end_of_text);

}  // namespace virgil
