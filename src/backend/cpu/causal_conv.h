// Causal depthwise convolutions on the CPU.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "virgil/ops/causal_conv.h"

namespace virgil::cpu {

/// A row, and those that it is joined with, each `step` elements further: the earlier ones on the way forward.
template <typename T>
struct ConvRow {
  T* out;
  const T* row;
  std::int64_t step;
  std::int64_t count;  // of other rows
};

/// What a row of inp adds to the gradient of the weights.
template <typename T>
struct ConvWeightSums {
  float* dweight;  // (K, C)
  const T* inp;
  const T* dout;       // the same row
  std::int64_t count;  // of rows that follow it
};

void run(const ops::CausalConvForward& op, const CpuContext& context);
void run(const ops::CausalConvBackward& op, const CpuContext& context);
void run(const ops::CausalConvDecode& op, const CpuContext& context);

}  // namespace virgil::cpu
