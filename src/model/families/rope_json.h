// Rotary positions in config.json: "rope_parameters" of transformers 5, or "rope_theta" and "rope_scaling" of 4.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "virgil/base/json.h"
#include "virgil/model/architecture.h"

namespace virgil {

/// As the file tells it; `model` has its sizes. A scaling that Virgil does not know counts as none: see refuse_unknown_rope().
[[nodiscard]] RotarySettings read_rope(const JsonObject& json, const Architecture& model);
/// Throws UserError naming `where`, the key and what is known, for positions under which the same weights are another function.
void refuse_unknown_rope(const JsonObject& json, const std::string& where);
/// Adds both spellings: transformers 4 reads the one, 5 the other.
void write_rope(nlohmann::ordered_json& json, const RotarySettings& rotary);

}  // namespace virgil
