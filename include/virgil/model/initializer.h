// GPT-2's initialisation, driven by the ParameterLayout.
#pragma once

#include <cstdint>

#include "virgil/backend/backend.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/model/sharding.h"

namespace virgil {

/// Fills `weights` (the whole or a part) on the device, drawn in float32, rounded once to nearest. Element i of parameter p is
/// a pure function of (seed, p, i), so any part can be made anywhere. Padding rows and alignment gaps are zero.
void initialize_parameters(Backend& backend, const ParameterLayout& layout, const FlatTensor& weights, std::uint64_t seed);

}  // namespace virgil
