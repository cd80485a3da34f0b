// ReLU squared (So et al. 2021).
#pragma once

#include <cstdint>

#include "cuda/device/launch.h"

namespace virgil::cuda {

/// out may be inp.
void relu_squared_forward(const LaunchContext& context, DType dtype, void* out, const void* inp, std::int64_t count);
/// dinp = dout * 2 max(inp, 0). dinp may be dout.
void relu_squared_backward(const LaunchContext& context, DType dtype, void* dinp, const void* dout, const void* inp,
                           std::int64_t count);

}  // namespace virgil::cuda
