// Gated linear units (Shazeer 2020). Shapes and semantics: virgil/ops/glu.h.
#pragma once

#include <cstdint>

#include "cuda/device/launch.h"
#include "virgil/ops/glu_gate.h"

namespace virgil::cuda {

/// out = act(gate) * up, of `count` elements. out may be gate or up.
void glu_forward(const LaunchContext& context, DType dtype, GluGate act, void* out, const void* gate, const void* up,
                 std::int64_t count);

struct GluGradients {
  void* dgate = nullptr;
  void* dup = nullptr;  // either may be dout
  const void* dout = nullptr;
  const void* gate = nullptr;
  const void* up = nullptr;
  std::int64_t count = 0;
};
void glu_backward(const LaunchContext& context, DType dtype, GluGate act, const GluGradients& operands);

}  // namespace virgil::cuda
