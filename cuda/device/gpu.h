// The one vocabulary of kernel sources: CUDA under nvcc, the SIMT simulator (docs/simulator.md) under a host compiler.
//
// Both toolchains compile the same sources. What the two spell differently is hidden here, in ptx.h and in launch.h.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace virgil::cuda {

inline constexpr int kWarpSize = 32;
inline constexpr unsigned kFullMask = 0xFFFFFFFFU;
/// Whether blocks share 100 KiB of a multiprocessor's shared memory or less, and not 160 and more.
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ == 750 || __CUDA_ARCH__ == 860 || __CUDA_ARCH__ == 890 || __CUDA_ARCH__ >= 1200)
inline constexpr bool kSmallSharedMemory = true;
#else
inline constexpr bool kSmallSharedMemory = false;
#endif
#if defined(__CUDACC__) || defined(VIRGIL_SIM)  // host code takes the types alone: its compiler knows no threads of a block
/// Dynamic shared memory of the block, 1024-byte aligned; its size is that of the launch.
/// (`extern __shared__` has no meaning that a host compiler could give it.)
template <typename T>
__device__ __forceinline__ T* dynamic_smem() {
#ifdef VIRGIL_SIM
  return static_cast<T*>(simt::dynamic_smem());
#else
  extern __shared__ __align__(1024) unsigned char dynamic_smem_bytes[];
  return reinterpret_cast<T*>(dynamic_smem_bytes);
#endif
}

/// Static shared memory: one struct a kernel, uninitialised, shared by the block. Calls with the same T in one kernel give the
/// same object.
template <typename T>
__device__ __forceinline__ T& static_smem() {
  static_assert(sizeof(T) <= 48 * 1024, "static shared memory is at most 48 KiB");
#ifdef VIRGIL_SIM
  static char key;
  return *static_cast<T*>(simt::static_smem(&key, sizeof(T), alignof(T)));
#else
  __shared__ T object;
  return object;
#endif
}

/// Orders this block's earlier writes before its later signal to other blocks; see last_block().
__device__ __forceinline__ void release_fence() { __threadfence(); }
/// Makes what other blocks released visible after their signal was seen.
__device__ __forceinline__ void acquire_fence() {
#ifdef VIRGIL_SIM
  simt::acquire();
#else
  __threadfence();
#endif
}

__device__ __forceinline__ int lane_id() { return static_cast<int>(threadIdx.x) % kWarpSize; }
__device__ __forceinline__ int warp_id() { return static_cast<int>(threadIdx.x) / kWarpSize; }

// --- Element types -----------------------------------------------------------------------------------------------------------

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ __forceinline__ float to_float(__half value) { return __half2float(value); }

/// Rounded to nearest, ties to even.
template <typename T>
__device__ __forceinline__ T from_float(float value);
template <>
__device__ __forceinline__ float from_float<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}
template <>
__device__ __forceinline__ __half from_float<__half>(float value) {
  return __float2half_rn(value);
}
#endif
}  // namespace virgil::cuda
