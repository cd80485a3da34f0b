// Elementwise activations: one pass over tensors, for a function and its slope. Device code, of one .cu file each.
//
// `Function` has forward<T>(x) and slope<T>(x), float32 in and out; T is what the results are stored as.
//
// Floor, in bytes an element of n bytes: forward 2n, backward 3n.
#pragma once

#include <cstdint>

#include "cuda/device/launch.h"
#include "cuda/device/pack.h"

namespace virgil::cuda {

inline constexpr int kActivationThreads = 256;

/// out[first..first + Width - 1]; out may be inp.
template <typename Function, typename T, int Width>
__device__ __forceinline__ void activation_forward_pack(T* out, const T* inp, std::int64_t first) {
  Pack<T, Width> x = load_pack_streaming<T, Width>(inp + first);
#pragma unroll
  for (int i = 0; i < Width; ++i) x[i] = from_float<T>(Function::template forward<T>(to_float(x[i])));
  store_pack(out + first, x);
}

template <typename Function, typename T, int Width>
__device__ __forceinline__ void activation_backward_pack(T* dinp, const T* dout, const T* inp, std::int64_t first) {
  const Pack<T, Width> x = load_pack_streaming<T, Width>(inp + first);
  Pack<T, Width> d = load_pack_streaming<T, Width>(dout + first);
#pragma unroll
  for (int i = 0; i < Width; ++i) d[i] = from_float<T>(to_float(d[i]) * Function::template slope<T>(to_float(x[i])));
  store_pack(dinp + first, d);
}

/// Width elements a thread and step; the first threads add the count % Width that remain.
template <typename Function, typename T, int Width>
__global__ __launch_bounds__(kActivationThreads) void activation_forward_kernel(T* out, const T* inp, std::int64_t count) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * kActivationThreads + threadIdx.x;
  const std::int64_t num_packs = count / Width;
  for (std::int64_t i = thread; i < num_packs; i += std::int64_t{gridDim.x} * kActivationThreads) {
    activation_forward_pack<Function, T, Width>(out, inp, i * Width);
  }
  if (thread < count % Width) activation_forward_pack<Function, T, 1>(out, inp, num_packs * Width + thread);
}

template <typename Function, typename T, int Width>
__global__ __launch_bounds__(kActivationThreads) void activation_backward_kernel(T* dinp, const T* dout, const T* inp,
                                                                                 std::int64_t count) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * kActivationThreads + threadIdx.x;
  const std::int64_t num_packs = count / Width;
  for (std::int64_t i = thread; i < num_packs; i += std::int64_t{gridDim.x} * kActivationThreads) {
    activation_backward_pack<Function, T, Width>(dinp, dout, inp, i * Width);
  }
  if (thread < count % Width) activation_backward_pack<Function, T, 1>(dinp, dout, inp, num_packs * Width + thread);
}

/// out = forward(inp); out may be inp.
template <typename Function>
void activation_forward(const LaunchContext& context, DType dtype, void* out, const void* inp, std::int64_t count) {
  if (count == 0) return;
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int kSize = Pack<T>::kSize;
    const bool packs = packs_fit<T>(0, static_cast<const T*>(out), static_cast<const T*>(inp));
    const unsigned blocks = grid_stride_blocks(context, packs ? (count + kSize - 1) / kSize : count, kActivationThreads);
    launch(context, blocks, kActivationThreads, 0,
           packs ? activation_forward_kernel<Function, T, kSize> : activation_forward_kernel<Function, T, 1>,
           static_cast<T*>(out), static_cast<const T*>(inp), count);
  });
}

/// dinp = dout * slope(inp); dinp may be dout.
template <typename Function>
void activation_backward(const LaunchContext& context, DType dtype, void* dinp, const void* dout, const void* inp,
                         std::int64_t count) {
  if (count == 0) return;
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int kSize = Pack<T>::kSize;
    const bool packs = packs_fit<T>(0, static_cast<const T*>(dinp), static_cast<const T*>(dout), static_cast<const T*>(inp));
    const unsigned blocks = grid_stride_blocks(context, packs ? (count + kSize - 1) / kSize : count, kActivationThreads);
    launch(context, blocks, kActivationThreads, 0,
           packs ? activation_backward_kernel<Function, T, kSize> : activation_backward_kernel<Function, T, 1>,
           static_cast<T*>(dinp), static_cast<const T*>(dout), static_cast<const T*>(inp), count);
  });
}

}  // namespace virgil::cuda
