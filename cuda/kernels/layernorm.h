// Layernorm, alone and fused with the residual add. Shapes and semantics: Backend::layernorm_*.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cuda/device/launch.h"
#include "virgil/ops/dropout.h"

namespace virgil::cuda {

/// Operands of the fused forward pass; all (rows, C) of one dtype, statistics float32.
struct ResidualLayernorm {
  void* residual_out = nullptr;  // may be residual
  void* out = nullptr;
  float* mean = nullptr;
  float* rstd = nullptr;
  const void* residual = nullptr;
  const void* branch = nullptr;
  const void* weight = nullptr;
  const void* bias = nullptr;  // optional
  std::int64_t rows = 0;       // B * T
  std::int64_t channels = 0;
  std::int64_t length = 0;  // T, for the numbering of dropped elements
};

struct LayernormGradients {
  void* dinp = nullptr;      // +=
  float* dweight = nullptr;  // +=
  float* dbias = nullptr;    // +=, optional
  const void* dout = nullptr;
  const void* inp = nullptr;
  const void* weight = nullptr;
  const float* mean = nullptr;
  const float* rstd = nullptr;
  std::int64_t rows = 0;
  std::int64_t channels = 0;
};

/// bias is optional.
void layernorm_forward(const LaunchContext& context, DType dtype, void* out, float* mean, float* rstd, const void* inp,
                       const void* weight, const void* bias, std::int64_t rows, std::int64_t channels);
/// residual_out = residual + dropout(branch), rounded to the dtype, then its layernorm: the same bits as the ops apart.
void residual_layernorm_forward(const LaunchContext& context, DType dtype, const ResidualLayernorm& operands,
                                const Dropout& dropout);

void layernorm_backward(const LaunchContext& context, DType dtype, const LayernormGradients& operands,
                        std::span<std::byte> workspace);

/// dinp (B, T, C) = dout * mask / (1 - p).
void dropout_backward(const LaunchContext& context, DType dtype, void* dinp, const void* dout, std::int64_t rows,
                      std::int64_t length, std::int64_t channels, const Dropout& dropout);

}  // namespace virgil::cuda
