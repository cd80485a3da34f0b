// Layernorm (Ba, Kiros, Hinton 2016) on the CPU, alone and fused with the residual addition before it.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "virgil/backend/dropout.h"

namespace virgil::cpu {

inline constexpr float kLayernormEps = 1e-5F;

/// out, inp (rows, C); mean, rstd (rows); weight (C); bias (C) or null. T: float or BFloat16, here and below.
template <typename T>
void layernorm_forward(T* out, float* mean, float* rstd, const T* inp, const T* weight, const T* bias, std::int64_t rows,
                       std::int64_t channels, const CpuContext& context);

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

/// residual_out = residual + dropout(branch), then layernorm of it.
template <typename Element>
void residual_layernorm_forward(const ResidualLayernormForward<Element>& op, const CpuContext& context);

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

[[nodiscard]] std::int64_t layernorm_backward_workspace_bytes(std::int64_t rows, std::int64_t channels);
template <typename Element>
void layernorm_backward(const LayernormBackward<Element>& op, const CpuContext& context);

}  // namespace virgil::cpu
