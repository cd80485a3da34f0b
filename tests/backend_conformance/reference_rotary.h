// Rotary positions in float64, by the definition: complex numbers that turn.
#pragma once

#include <cstdint>
#include <vector>

#include "backend_conformance/tracked.h"
#include "virgil/ops/rotary.h"

namespace virgil::conformance::reference {

/// back: by the negative angles.
[[nodiscard]] std::vector<Tracked> rotary(const std::vector<double>& inp, const RotarySizes& sizes, const RotaryAngles& angles,
                                          std::int64_t first_position, bool back = false);

}  // namespace virgil::conformance::reference
