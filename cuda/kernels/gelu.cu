// GELU in its tanh form, elementwise.
//
// 0.5 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3), is computed in the equal form 1 / (1 + e^-2u): it does not cancel for
// negative u and needs one exponential. The base change to 2^x is folded into the constants.
//
// Floor, in bytes an element of n bytes: forward 2n, backward 3n.
#include "cuda/kernels/gelu.h"

#include <cstdint>

#include "cuda/device/pack.h"
#include "cuda/device/ptx.h"

namespace virgil::cuda {

namespace {

constexpr int kThreads = 256;

constexpr float kTwoSqrtTwoOverPi = 1.59576912F;
constexpr float kCubic = 0.044715F;
// -2u = x (kLinear2 + kCubic2 x^2) ln 2.
constexpr float kLinear2 = -2.30220819F;                   // -2 sqrt(2/pi) log2(e)
constexpr float kCubic2 = -0.102943240F;                   // 0.044715 times that
constexpr float kSlope0 = kTwoSqrtTwoOverPi;               // d(2u)/dx = kSlope0 + kSlope2 x^2
constexpr float kSlope2 = 3 * kCubic * kTwoSqrtTwoOverPi;  //
constexpr float kLargestExponent = 125.5F;                 // above it 1 / (1 + 2^x) is taken for zero

/// 1 / y. The quick form is off by 2 ulp, which 16-bit results do not show.
template <typename T>
__device__ __forceinline__ float reciprocal(float y) {
  if constexpr (sizeof(T) == 2) {
    return __fdividef(1.0F, y);
  } else {
    return 1.0F / y;
  }
}

template <typename T>
__device__ __forceinline__ float gelu(float x) {
  const float e = ptx::exp2_approx(x * fmaf(x * x, kCubic2, kLinear2));
  return x * reciprocal<T>(1.0F + e);
}

template <typename T>
__device__ __forceinline__ float gelu_slope(float x) {
  // A square that overflowed would give 0 * infinity below; from 1e4 on the slope is exactly 0 or 1.
  const float x_squared = fminf(x * x, 1e4F);
  const float exponent = x * fmaf(x_squared, kCubic2, kLinear2);
  const float e = ptx::exp2_approx(fminf(exponent, kLargestExponent));
  const float s = exponent > kLargestExponent ? 0.0F : reciprocal<T>(1.0F + e);
  const float ds = s * (e * s) * fmaf(x_squared, kSlope2, kSlope0);  // s (1 - s) 2u'
  return fmaf(x, ds, s);
}

/// out[first..first + Width - 1]; out may be inp.
template <typename T, int Width>
__device__ __forceinline__ void forward_pack(T* out, const T* inp, std::int64_t first) {
  Pack<T, Width> x = load_pack_streaming<T, Width>(inp + first);
#pragma unroll
  for (int i = 0; i < Width; ++i) x[i] = from_float<T>(gelu<T>(to_float(x[i])));
  store_pack(out + first, x);
}

template <typename T, int Width>
__device__ __forceinline__ void backward_pack(T* dinp, const T* dout, const T* inp, std::int64_t first) {
  const Pack<T, Width> x = load_pack_streaming<T, Width>(inp + first);
  Pack<T, Width> d = load_pack_streaming<T, Width>(dout + first);
#pragma unroll
  for (int i = 0; i < Width; ++i) d[i] = from_float<T>(to_float(d[i]) * gelu_slope<T>(to_float(x[i])));
  store_pack(dinp + first, d);
}

/// Width elements a thread and step; the first threads add the count % Width that remain.
template <typename T, int Width>
__global__ __launch_bounds__(kThreads) void gelu_forward_kernel(T* out, const T* inp, std::int64_t count) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const std::int64_t num_packs = count / Width;
  for (std::int64_t i = thread; i < num_packs; i += std::int64_t{gridDim.x} * kThreads) {
    forward_pack<T, Width>(out, inp, i * Width);
  }
  if (thread < count % Width) forward_pack<T, 1>(out, inp, num_packs * Width + thread);
}

template <typename T, int Width>
__global__ __launch_bounds__(kThreads) void gelu_backward_kernel(T* dinp, const T* dout, const T* inp, std::int64_t count) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const std::int64_t num_packs = count / Width;
  for (std::int64_t i = thread; i < num_packs; i += std::int64_t{gridDim.x} * kThreads) {
    backward_pack<T, Width>(dinp, dout, inp, i * Width);
  }
  if (thread < count % Width) backward_pack<T, 1>(dinp, dout, inp, num_packs * Width + thread);
}

}  // namespace

void gelu_forward(const LaunchContext& context, DType dtype, void* out, const void* inp, std::int64_t count) {
  if (count == 0) return;
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int kSize = Pack<T>::kSize;
    const bool packs = packs_fit<T>(0, static_cast<const T*>(out), static_cast<const T*>(inp));
    const unsigned blocks = grid_stride_blocks(context, packs ? (count + kSize - 1) / kSize : count, kThreads);
    launch(context, blocks, kThreads, 0, packs ? gelu_forward_kernel<T, kSize> : gelu_forward_kernel<T, 1>,
           static_cast<T*>(out), static_cast<const T*>(inp), count);
  });
}

void gelu_backward(const LaunchContext& context, DType dtype, void* dinp, const void* dout, const void* inp,
                   std::int64_t count) {
  if (count == 0) return;
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int kSize = Pack<T>::kSize;
    const bool packs = packs_fit<T>(0, static_cast<const T*>(dinp), static_cast<const T*>(dout), static_cast<const T*>(inp));
    const unsigned blocks = grid_stride_blocks(context, packs ? (count + kSize - 1) / kSize : count, kThreads);
    launch(context, blocks, kThreads, 0, packs ? gelu_backward_kernel<T, kSize> : gelu_backward_kernel<T, 1>,
           static_cast<T*>(dinp), static_cast<const T*>(dout), static_cast<const T*>(inp), count);
  });
}

}  // namespace virgil::cuda
