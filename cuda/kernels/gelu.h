// GELU, tanh form (Hendrycks, Gimpel 2016; GPT-2).
#pragma once

#include <cstdint>

#include "cuda/device/launch.h"

namespace virgil::cuda {

/// out may be inp.
void gelu_forward(const LaunchContext& context, DType dtype, void* out, const void* inp, std::int64_t count);
/// dinp = dout * gelu'(inp). dinp may be dout.
void gelu_backward(const LaunchContext& context, DType dtype, void* dinp, const void* dout, const void* inp,
                   std::int64_t count);

}  // namespace virgil::cuda
