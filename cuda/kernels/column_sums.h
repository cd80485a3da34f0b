// Sums over rows: gradients of biases.
#pragma once

#include <cstddef>
#include <span>

#include "cuda/device/launch.h"

namespace virgil::cuda {

[[nodiscard]] std::int64_t bias_backward_workspace_bytes(std::int64_t rows, std::int64_t channels);
/// dbias (C) += column sums of dout (rows, C).
void bias_backward(const LaunchContext& context, DType dtype, float* dbias, const void* dout, std::int64_t rows,
                   std::int64_t channels, std::span<std::byte> workspace);

}  // namespace virgil::cuda
