// Layernorm (Ba, Kiros, Hinton 2016) on the CPU, alone and fused with the residual addition before it.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "virgil/ops/dropout.h"
#include "virgil/ops/layernorm.h"

namespace virgil::cpu {

inline constexpr float kLayernormEps = 1e-5F;

/// Operands of float or BFloat16, here and below.
template <typename Element>
struct ResidualLayernormForward {
  Element* residual_out;  // (B, T, C); may be residual
  Element* out;           // (B, T, C)
  float* mean;            // (B * T)
  float* rstd;            // (B * T)
  const Element* residual;
  const Element* branch;
  const Element* weight;  // (C)
  const Element* bias;    // (C) or null
  std::int64_t batch;
  std::int64_t length;
  std::int64_t channels;
  Dropout dropout;
};

template <typename Element>
struct LayernormBackward {
  Element* dinp;   // (rows, C) +=
  float* dweight;  // (C) +=
  float* dbias;    // (C) +=, or null
  const Element* dout;
  const Element* inp;
  const Element* weight;
  const float* mean;
  const float* rstd;
  std::int64_t rows;
  std::int64_t channels;
};

void run(const ops::LayernormForward& op, const CpuContext& context);
void run(const ops::ResidualLayernormForward& op, const CpuContext& context);
void run(const ops::LayernormBackward& op, const CpuContext& context);
[[nodiscard]] std::int64_t layernorm_backward_workspace_bytes(std::int64_t rows, std::int64_t channels);

}  // namespace virgil::cpu
