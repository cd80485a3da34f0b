// Gated linear units (Shazeer 2020). Shapes and semantics: virgil/ops/glu.h.
#pragma once

#include <cstdint>

#include "cuda/device/launch.h"
#include "virgil/ops/glu_gate.h"

namespace virgil::cuda {

/// Rows of F = channels elements beside rows of 2 F.
struct GluSizes {
  std::int64_t rows = 0;
  std::int64_t channels = 0;
};

/// out (rows, F) = act(gate) * up; inp (rows, 2 F).
void glu_forward(const LaunchContext& context, DType dtype, GluGate act, void* out, const void* inp, const GluSizes& sizes);
/// dinp (rows, 2 F) from dout (rows, F) and inp, which dinp may be.
void glu_backward(const LaunchContext& context, DType dtype, GluGate act, void* dinp, const void* dout, const void* inp,
                  const GluSizes& sizes);

}  // namespace virgil::cuda
