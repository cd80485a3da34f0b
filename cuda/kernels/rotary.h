// Rotary positions (Su et al. 2021). Shapes and semantics: virgil/ops/rotary.h.
#pragma once

#include <cstdint>

#include "cuda/device/launch.h"
#include "virgil/ops/rotary_angles.h"

namespace virgil::cuda {

/// Rows of heads side by side, of which the first turned_heads turn.
struct RotaryOperands {
  void* out = nullptr;  // may be inp
  const void* inp = nullptr;
  std::int64_t rows = 0;    // B * T
  std::int64_t length = 0;  // T
  std::int64_t turned_heads = 0;
  std::int64_t heads = 0;
  std::int64_t head_size = 0;
  std::int64_t first_position = 0;
  bool back = false;  // by the negative angles
};

void rotary(const LaunchContext& context, DType dtype, const RotaryOperands& operands, const RotaryAngles& angles);

}  // namespace virgil::cuda
