// Values to compute with where nobody reads what comes out.
#pragma once

#include "virgil/backend/backend.h"

namespace virgil::bench {

/// Fills `dst` with normal values of this deviation: a GPU draws less power on zeros, and multiplies them faster than any
/// weights.
void fill_with_normal_values(Backend& backend, TensorView dst, float deviation = 1);

}  // namespace virgil::bench
