// Sums of what the ranks of a reduce-scatter have sent.
#pragma once

#include <cstdint>

#include "cuda/device/launch.h"

namespace virgil::cuda {

/// out[i] = (in[0][i] + in[1][i]) + ... + in[num_ranks - 1][i] for i < count: float32 additions in order of rank. `in` holds
/// num_ranks rows of bfloat16, `row_stride` elements apart.
void sum_of_ranks(const LaunchContext& context, float* out, const void* in, std::int64_t count, std::int64_t row_stride,
                  int num_ranks);

}  // namespace virgil::cuda
