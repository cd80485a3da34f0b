// Layernorm and RMSNorm on the CPU, alone and fused with the residual addition before it.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "virgil/ops/dropout.h"
#include "virgil/ops/norm.h"

namespace virgil::cpu {

/// Operands of float or BFloat16, here and below.
template <typename Element>
struct ResidualNormForward {
  Element* residual_out;  // (B, T, C); may be residual
  Element* out;           // (B, T, C)
  float* mean;            // (B * T), or null: RMSNorm
  float* rstd;            // (B * T)
  const Element* residual;
  const Element* branch;
  const Element* weight;  // (C)
  const Element* bias;    // (C) or null
  std::int64_t batch;
  std::int64_t length;
  std::int64_t channels;
  Dropout dropout;
  float epsilon;
};

template <typename Element>
struct NormBackward {
  Element* dinp;   // (rows, C) +=
  float* dweight;  // (C) +=
  float* dbias;    // (C) +=, or null
  const Element* dout;
  const Element* inp;
  const Element* weight;
  const float* mean;  // or null: RMSNorm
  const float* rstd;
  std::int64_t rows;
  std::int64_t channels;
};

void run(const ops::NormForward& op, const CpuContext& context);
void run(const ops::ResidualNormForward& op, const CpuContext& context);
void run(const ops::NormBackward& op, const CpuContext& context);
[[nodiscard]] std::int64_t norm_backward_workspace_bytes(std::int64_t rows, std::int64_t channels);

}  // namespace virgil::cpu
