// Every instruction that CUDA C++ has no function for: the assembly for the GPU beside its meaning in the simulator.
// Source of all layouts: "Parallel Thread Execution ISA", sections on cp.async, ldmatrix and mma.
#pragma once

#include <cstdint>

#include "cuda/device/gpu.h"

#ifdef VIRGIL_SIM
#include "cuda/sim/tensor_core.h"
#define VIRGIL_SITE , simt::Site site = simt::Site::current()
#else
#define VIRGIL_SITE
#endif

// Before an architecture what it brought stops the kernel: launchers choose others by compute capability.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define VIRGIL_BEFORE_SM80
#endif

namespace virgil::cuda::ptx {

#ifndef VIRGIL_SIM
__device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}
#endif

// --- cp.async (sm_80): 16 bytes from global to shared memory, past the registers
// -------------------------------------------------

/// Starts the copy; both addresses are 16-byte aligned. Without `present` nothing is read and zeros are written.
__device__ __forceinline__ void cp_async_16(void* shared, const void* global, bool present = true VIRGIL_SITE) {
#ifdef VIRGIL_SIM
  simt::cp_async(shared, global, 16, present ? 16 : 0, site);
#elif defined(VIRGIL_BEFORE_SM80)
  __trap();
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(shared)),
               "l"(__cvta_generic_to_global(global)), "r"(present ? 16 : 0)
               : "memory");
#endif
}

/// Closes this thread's group of copies.
__device__ __forceinline__ void cp_async_commit() {
#ifdef VIRGIL_SIM
  simt::cp_async_commit();
#elif defined(VIRGIL_BEFORE_SM80)
  __trap();
#else
  asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}

/// Waits until at most N of this thread's groups are under way. Other threads see the data after a barrier.
template <int N>
__device__ __forceinline__ void cp_async_wait() {
#ifdef VIRGIL_SIM
  simt::cp_async_wait(N);
#elif defined(VIRGIL_BEFORE_SM80)
  __trap();
#else
  asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
#endif
}

// --- ldmatrix (sm_75): 8x8 tiles of 16-bit elements from shared memory
// ---------------------------------------------------------

/// Lane i names row i % 8 of tile i / 8 (16-byte aligned). Lane t gets elements (t / 4, 2 (t % 4)) and its right neighbour of
/// tile j in out[j]; the transposed form gives (2 (t % 4), t / 4) and the one below it.
__device__ __forceinline__ void ldmatrix_x4(std::uint32_t (&out)[4], const void* row VIRGIL_SITE) {
#ifdef VIRGIL_SIM
  simt::ldmatrix(out, false, row, site);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(shared_address(row))
               : "memory");
#endif
}

__device__ __forceinline__ void ldmatrix_x4_trans(std::uint32_t (&out)[4], const void* row VIRGIL_SITE) {
#ifdef VIRGIL_SIM
  simt::ldmatrix(out, true, row, site);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(shared_address(row))
               : "memory");
#endif
}

// --- mma.sync (sm_80): d (16, 8) += a (16, k) * b (k, 8), float32 accumulation
// ---------------------------------------------------
//
// With g = lane / 4 and q = lane % 4, for 16-bit operands (k = 16):
//   a[0] (g, 2q..), a[1] (g + 8, 2q..), a[2] (g, 2q + 8..), a[3] (g + 8, 2q + 8..): as ldmatrix_x4 of a's four 8x8 tiles gives
//   b[0] (2q.., g), b[1] (2q + 8.., g): as ldmatrix of b stored (n, k), or transposed of b stored (k, n)
//   d[0], d[1] (g, 2q..), d[2], d[3] (g + 8, 2q..)
// so that two neighbouring accumulator tiles, rounded and packed in pairs, are the operand a of a following product.

__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                                             __nv_bfloat16 /*type*/ VIRGIL_SITE) {
#ifdef VIRGIL_SIM
  simt::mma_16816(d, a, b0, b1, simt::OperandType::kBFloat16, site);
#elif defined(VIRGIL_BEFORE_SM80)
  __trap();
#else
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                                             __half /*type*/ VIRGIL_SITE) {
#ifdef VIRGIL_SIM
  simt::mma_16816(d, a, b0, b1, simt::OperandType::kFloat16, site);
#elif defined(VIRGIL_BEFORE_SM80)
  __trap();
#else
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

// --- Arithmetic
// ----------------------------------------------------------------------------------------------------------------

/// 2^x with a relative error of at most 2^-22; subnormal results are zero, exp2(-inf) is 0.
__device__ __forceinline__ float exp2_approx(float x) {
#ifdef VIRGIL_SIM
  const float y = exp2f(x);
  return y < 0x1p-126F ? 0.0F : y;
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
#endif
}

/// Two floats rounded to a 16-bit type, `low` in the lower half.
__device__ __forceinline__ std::uint32_t pack_pair(float low, float high, __nv_bfloat16 /*type*/) {
#ifdef VIRGIL_SIM
  return simt::pair_bits(__float2bfloat16_rn(low), __float2bfloat16_rn(high));
#elif defined(VIRGIL_BEFORE_SM80)
  return static_cast<std::uint32_t>(__bfloat16_as_ushort(__float2bfloat16_rn(high))) << 16 |
         __bfloat16_as_ushort(__float2bfloat16_rn(low));
#else
  std::uint32_t bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
#endif
}
__device__ __forceinline__ std::uint32_t pack_pair(float low, float high, __half /*type*/) {
#ifdef VIRGIL_SIM
  return simt::pair_bits(__float2half_rn(low), __float2half_rn(high));
#elif defined(VIRGIL_BEFORE_SM80)
  return static_cast<std::uint32_t>(__half_as_ushort(__float2half_rn(high))) << 16 | __half_as_ushort(__float2half_rn(low));
#else
  std::uint32_t bits;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;\n" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
#endif
}

}  // namespace virgil::cuda::ptx

#undef VIRGIL_BEFORE_SM80
#undef VIRGIL_SITE
