// ReLU squared, elementwise.
#include "cuda/kernels/relu_squared.h"

#include <cstdint>

#include "cuda/kernels/activation.h"

namespace virgil::cuda {

namespace {

/// max(x, 0), but NaN for NaN: fmaxf would hide it.
__device__ __forceinline__ float rectified(float x) { return x < 0.0F ? 0.0F : x; }

struct ReluSquared {
  template <typename T>
  __device__ __forceinline__ static float forward(float x) {
    return rectified(x) * rectified(x);
  }

  template <typename T>
  __device__ __forceinline__ static float slope(float x) {
    return 2.0F * rectified(x);
  }
};

}  // namespace

void relu_squared_forward(const LaunchContext& context, DType dtype, void* out, const void* inp, std::int64_t count) {
  activation_forward<ReluSquared>(context, dtype, out, inp, count);
}

void relu_squared_backward(const LaunchContext& context, DType dtype, void* dinp, const void* dout, const void* inp,
                           std::int64_t count) {
  activation_backward<ReluSquared>(context, dtype, dinp, dout, inp, count);
}

}  // namespace virgil::cuda
