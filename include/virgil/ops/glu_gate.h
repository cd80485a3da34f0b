// What a gated linear unit does to its gate. Plain, so that kernels can include it.
#pragma once

#include <cstdint>

namespace virgil {

enum class GluGate : std::uint8_t {
  kSilu,  // x / (1 + e^-x): SwiGLU
  kGelu,  // in its tanh form: GeGLU
};

}  // namespace virgil
