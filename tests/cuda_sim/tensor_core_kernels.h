// One instruction of the tensor cores each, for tests of their meaning.
#pragma once

#include "cuda/device/launch.h"

namespace virgil::cuda::tensor_core {

/// d (16, 8) = d + a (16, 16) b (8, 16)^T in a 16-bit type: ldmatrix, mma.
void multiply_16_bit(const LaunchContext& context, DType dtype, float* d, const void* a, const void* b);
/// out (32, 8) of 16 bits = in, read by ldmatrix; each 8 x 8 tile transposed when `transpose`.
void load_tiles(const LaunchContext& context, void* out, const void* in, bool transpose);

}  // namespace virgil::cuda::tensor_core
