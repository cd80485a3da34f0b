// A config.json of transformers' GPT-2 that anyone may have written.
#pragma once

#include <string>
#include <string_view>

#include "virgil/model/model_config.h"

namespace virgil {

/// The sizes such a file tells. GPT-2 has biases unless a "virgil" object says otherwise (docs/checkpoints.md). Throws
/// UserError naming `where`, the key and the remedy: not JSON, another model_type, a size that is missing or outside the range
/// of its configuration key, or a setting under which transformers computes something else than Virgil.
[[nodiscard]] ModelSizes read_gpt2_config(std::string_view text, const std::string& where);

}  // namespace virgil
