// GELU in its tanh form (Hendrycks, Gimpel 2016; GPT-2) on the CPU.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"

namespace virgil::cpu {

/// T: float or BFloat16, here and below.
template <typename T>
void gelu_forward(T* out, const T* inp, std::int64_t num_elements, const CpuContext& context);
/// dinp = dout * gelu'(inp). dinp may be dout.
template <typename T>
void gelu_backward(T* dinp, const T* dout, const T* inp, std::int64_t num_elements, const CpuContext& context);

}  // namespace virgil::cpu
