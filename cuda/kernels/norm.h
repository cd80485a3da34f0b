// Layernorm and RMSNorm, alone and fused with the residual add. Shapes and semantics: virgil/ops/norm.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cuda/device/launch.h"
#include "virgil/ops/dropout.h"

namespace virgil::cuda {

/// Operands of the forward passes; all (rows, C) of one dtype, statistics float32. The plain one normalizes residual: it has no
/// residual_out and no branch.
struct ResidualNorm {
  void* residual_out = nullptr;  // may be residual
  void* out = nullptr;
  float* mean = nullptr;  // optional: RMSNorm
  float* rstd = nullptr;
  const void* residual = nullptr;
  const void* branch = nullptr;
  const void* weight = nullptr;
  const void* bias = nullptr;  // optional
  std::int64_t rows = 0;       // B * T
  std::int64_t channels = 0;
  std::int64_t length = 0;  // T, for the numbering of dropped elements
  float epsilon = 0;
};

struct NormGradients {
  void* dinp = nullptr;      // +=
  float* dweight = nullptr;  // +=
  float* dbias = nullptr;    // +=, optional
  const void* dout = nullptr;
  const void* inp = nullptr;
  const void* weight = nullptr;
  const float* mean = nullptr;  // optional: RMSNorm
  const float* rstd = nullptr;
  std::int64_t rows = 0;
  std::int64_t channels = 0;
};

void norm_forward(const LaunchContext& context, DType dtype, const ResidualNorm& operands);
/// residual_out = residual + dropout(branch), rounded to the dtype, then its norm: the same bits as the ops apart.
void residual_norm_forward(const LaunchContext& context, DType dtype, const ResidualNorm& operands, const Dropout& dropout);

void norm_backward(const LaunchContext& context, DType dtype, const NormGradients& operands, std::span<std::byte> workspace);

/// dinp (B, T, C) = dout * mask / (1 - p).
void dropout_backward(const LaunchContext& context, DType dtype, void* dinp, const void* dout, std::int64_t rows,
                      std::int64_t length, std::int64_t channels, const Dropout& dropout);

}  // namespace virgil::cuda
