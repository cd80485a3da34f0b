// Conversions between float types, elementwise. Floor, in bytes an element: the sizes of both types.
#include "cuda/kernels/convert.h"

#include <cstdint>
#include <stdexcept>
#include <type_traits>

#include "cuda/device/pack.h"

namespace virgil::cuda {

namespace {

constexpr int kThreads = 256;

/// As from_float, but NaN becomes what virgil::BFloat16 and Float16 make of it: the instructions give one NaN for all.
template <typename To>
__device__ __forceinline__ To converted(float value);
template <>
__device__ __forceinline__ float converted<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ __nv_bfloat16 converted<__nv_bfloat16>(float value) {
  if (value == value) return from_float<__nv_bfloat16>(value);
  return __ushort_as_bfloat16(static_cast<unsigned short>((__float_as_uint(value) >> 16) | 0x0040U));
}
template <>
__device__ __forceinline__ __half converted<__half>(float value) {
  if (value == value) return from_float<__half>(value);
  return __ushort_as_half(static_cast<unsigned short>(((__float_as_uint(value) >> 16) & 0x8000U) | 0x7E00U));
}

template <typename To, typename From, int Width>
__device__ __forceinline__ void convert_pack(To* dst, const From* src, std::int64_t first) {
  const Pack<From, Width> from = load_pack_streaming<From, Width>(src + first);
  Pack<To, Width> to;
#pragma unroll
  for (int i = 0; i < Width; ++i) to[i] = converted<To>(to_float(from[i]));
  store_pack(dst + first, to);
}

/// Width elements a thread and step; the first threads add the count % Width that remain.
template <typename To, typename From, int Width>
__global__ __launch_bounds__(kThreads) void convert_kernel(To* dst, const From* src, std::int64_t count) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const std::int64_t num_packs = count / Width;
  for (std::int64_t i = thread; i < num_packs; i += std::int64_t{gridDim.x} * kThreads) {
    convert_pack<To, From, Width>(dst, src, i * Width);
  }
  if (thread < count % Width) convert_pack<To, From, 1>(dst, src, num_packs * Width + thread);
}

template <typename To, typename From>
void launch_convert(const LaunchContext& context, To* dst, const From* src, std::int64_t count) {
  constexpr int kSize = 16 / static_cast<int>(sizeof(To) > sizeof(From) ? sizeof(To) : sizeof(From));
  const bool packs = packs_fit<To>(0, dst, src);
  const unsigned blocks = grid_stride_blocks(context, packs ? (count + kSize - 1) / kSize : count, kThreads);
  launch(context, blocks, kThreads, 0, packs ? convert_kernel<To, From, kSize> : convert_kernel<To, From, 1>, dst, src, count);
}

}  // namespace

void convert(const LaunchContext& context, DType dst_dtype, void* dst, DType src_dtype, const void* src, std::int64_t count) {
  if (dst_dtype == src_dtype) throw std::logic_error("convert: both dtypes are the same; copy instead");
  if (count == 0) return;
  with_device_type(dst_dtype, [&](auto to) {
    with_device_type(src_dtype, [&](auto from) {
      using To = decltype(to);
      using From = decltype(from);
      if constexpr (!std::is_same_v<To, From>) {
        launch_convert(context, static_cast<To*>(dst), static_cast<const From*>(src), count);
      }
    });
  });
}

}  // namespace virgil::cuda
