// GELU in its tanh form, elementwise.
#include "cuda/kernels/gelu.h"

#include <cstdint>

#include "cuda/kernels/activation.h"
#include "cuda/kernels/sigmoid_functions.h"

namespace virgil::cuda {

void gelu_forward(const LaunchContext& context, DType dtype, void* out, const void* inp, std::int64_t count) {
  activation_forward<Gelu>(context, dtype, out, inp, count);
}

void gelu_backward(const LaunchContext& context, DType dtype, void* dinp, const void* dout, const void* inp,
                   std::int64_t count) {
  activation_backward<Gelu>(context, dtype, dinp, dout, inp, count);
}

}  // namespace virgil::cuda
