// Sums over a whole tensor, in float64 and in a fixed order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cuda/device/launch.h"

namespace virgil::cuda {

/// out (1) = sum of inp.
void reduce_sum(const LaunchContext& context, DType dtype, float* out, const void* inp, std::int64_t count,
                std::span<std::byte> workspace);
/// out (1) = sqrt(sum of squares) * scale; not finite when any element is not.
void l2_norm(const LaunchContext& context, DType dtype, float* out, const void* inp, std::int64_t count, float scale,
             std::span<std::byte> workspace);

}  // namespace virgil::cuda
