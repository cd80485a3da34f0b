// Layernorm (Ba, Kiros, Hinton 2016) on the CPU, alone and fused with the residual addition before it.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "virgil/backend/dropout.h"

namespace virgil::cpu {

inline constexpr float kLayernormEps = 1e-5F;

/// out, inp (rows, C); mean, rstd (rows); weight (C); bias (C) or null.
void layernorm_forward(float* out, float* mean, float* rstd, const float* inp, const float* weight, const float* bias,
                       std::int64_t rows, std::int64_t channels, const CpuContext& context);

struct ResidualLayernormForward {
  float* residual_out;  // (B, T, C); may be residual
  float* out;           // (B, T, C)
  float* mean;          // (B * T)
  float* rstd;          // (B * T)
  const float* residual;
  const float* branch;
  const float* weight;  // (C)
  const float* bias;    // (C) or null
  std::int64_t batch;
  std::int64_t length;
  std::int64_t channels;
  Dropout dropout;
};

/// residual_out = residual + dropout(branch), then layernorm of it.
void residual_layernorm_forward(const ResidualLayernormForward& op, const CpuContext& context);

struct LayernormBackward {
  float* dinp;     // (rows, C) +=
  float* dweight;  // (C) +=
  float* dbias;    // (C) +=, or null
  const float* dout;
  const float* inp;
  const float* weight;
  const float* mean;
  const float* rstd;
  std::int64_t rows;
  std::int64_t channels;
};

[[nodiscard]] std::int64_t layernorm_backward_workspace_bytes(std::int64_t rows, std::int64_t channels);
void layernorm_backward(const LayernormBackward& op, const CpuContext& context);

}  // namespace virgil::cpu
