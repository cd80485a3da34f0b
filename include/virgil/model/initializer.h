// GPT-2's initialisation, driven by the ParameterLayout.
#pragma once

#include <cstdint>

#include "virgil/backend/backend.h"
#include "virgil/model/parameter_layout.h"

namespace virgil {

/// Fills `weights` (flat_elements(), float32) on the device. Element i of parameter p is a pure function of (seed, p, i), so
/// any part can be made anywhere. Padding rows and alignment gaps are zero.
void initialize_parameters(Backend& backend, const ParameterLayout& layout, TensorView weights, std::uint64_t seed);

}  // namespace virgil
