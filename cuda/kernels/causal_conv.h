// Causal depthwise convolutions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cuda/device/launch.h"

namespace virgil::cuda {

/// Of virgil/ops/causal_conv.h.
struct ConvShape {
  std::int64_t batch;
  std::int64_t length;
  std::int64_t channels;
  std::int64_t taps;
};

void causal_conv_forward(const LaunchContext& context, DType dtype, void* out, const void* inp, const void* weight,
                         const ConvShape& shape);

struct ConvGradients {
  void* dinp;
  float* dweight;
  const void* dout;
  const void* inp;
  const void* weight;
};
/// The workspace is that of column sums over (batch * length) rows of (taps * channels).
void causal_conv_backward(const LaunchContext& context, DType dtype, const ConvGradients& operands, const ConvShape& shape,
                          std::span<std::byte> workspace);

struct ConvCache {
  void* rows;  // (batch, length, channels)
  std::int64_t length;
  std::int64_t first_position;
};
/// shape.length is that of the new rows.
void causal_conv_decode(const LaunchContext& context, DType dtype, void* out, const ConvCache& cache, const void* inp,
                        const void* weight, const ConvShape& shape);

}  // namespace virgil::cuda
