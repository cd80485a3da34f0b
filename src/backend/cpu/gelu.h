// GELU in its tanh form (Hendrycks, Gimpel 2016; GPT-2) on the CPU.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"

namespace virgil::cpu {

void gelu_forward(float* out, const float* inp, std::int64_t num_elements, const CpuContext& context);
/// dinp = dout * gelu'(inp). dinp may be dout.
void gelu_backward(float* dinp, const float* dout, const float* inp, std::int64_t num_elements, const CpuContext& context);

}  // namespace virgil::cpu
