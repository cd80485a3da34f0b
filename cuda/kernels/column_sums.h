// Sums over rows: gradients of biases.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cuda/device/launch.h"

namespace virgil::cuda {

/// dbias (C) += column sums of dout (rows, C).
void bias_backward(const LaunchContext& context, DType dtype, float* dbias, const void* dout, std::int64_t rows,
                   std::int64_t channels, std::span<std::byte> workspace);

/// out0 (C) += column sums of the first of partials (1 or 2, pieces, C), and out1 (C) += those of the second unless it is null.
/// The last step of sums that other kernels leave in pieces.
void add_row_pieces(const LaunchContext& context, float* out0, float* out1, const float* partials, std::int64_t pieces,
                    std::int64_t channels);

}  // namespace virgil::cuda
