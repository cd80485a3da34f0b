// Sums and maxima over a warp or a block, in a fixed order: the same inputs give the same bits.
#pragma once

#include "cuda/device/gpu.h"

namespace virgil::cuda {

/// Every lane gets the sum over all 32 lanes (a butterfly, so all lanes compute the same bits).
template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kFullMask, value, offset);
  return value;
}

__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) value = fmaxf(value, __shfl_xor_sync(kFullMask, value, offset));
  return value;
}

/// Scratch of block_sum and block_max, in shared memory.
template <typename T, int Threads>
struct BlockReduceStorage {
  static_assert(Threads % kWarpSize == 0 && Threads <= 1024);
  T partial[Threads / kWarpSize];
};

namespace detail {
template <typename T, int Threads, typename Combine>
__device__ __forceinline__ T block_reduce(T warp_value, BlockReduceStorage<T, Threads>& storage, Combine combine,
                                          int num_warps = Threads / kWarpSize) {
  if (lane_id() == 0) storage.partial[warp_id()] = warp_value;
  __syncthreads();
  T result = storage.partial[0];
#pragma unroll
  for (int w = 1; w < Threads / kWarpSize; ++w) {
    if (w < num_warps) result = combine(result, storage.partial[w]);
  }
  __syncthreads();  // the storage may be used again
  return result;
}
}  // namespace detail

/// Every thread of a one-dimensional block of `Threads` gets the sum; all of them must call.
template <int Threads, typename T>
__device__ __forceinline__ T block_sum(T value, BlockReduceStorage<T, Threads>& storage) {
  return detail::block_reduce(warp_sum(value), storage, [](T a, T b) { return a + b; });
}
/// The same in a block of `num_warps` warps, at most Threads / 32: the bits that it would have with more warps of zeros.
template <int Threads, typename T>
__device__ __forceinline__ T block_sum(T value, BlockReduceStorage<T, Threads>& storage, int num_warps) {
  return detail::block_reduce(
      warp_sum(value), storage, [](T a, T b) { return a + b; }, num_warps);
}
template <int Threads>
__device__ __forceinline__ float block_max(float value, BlockReduceStorage<float, Threads>& storage) {
  return detail::block_reduce(warp_max(value), storage, [](float a, float b) { return fmaxf(a, b); });
}

}  // namespace virgil::cuda
