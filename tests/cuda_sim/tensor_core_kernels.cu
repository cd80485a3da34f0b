#include "cuda_sim/tensor_core_kernels.h"

#include <cstdint>

#include "cuda/device/ptx.h"

namespace virgil::cuda::tensor_core {

namespace {

struct Operands {
  uint4 a[16][2];
  uint4 b[8][2];
};

/// The accumulator's elements of a lane are at (g, 2q), (g, 2q + 1), (g + 8, 2q), (g + 8, 2q + 1).
__device__ int accumulator_index(int i) { return (lane_id() / 4 + 8 * (i / 2)) * 8 + 2 * (lane_id() % 4) + i % 2; }

template <typename T>
__global__ void multiply_16_bit_kernel(float* d, const uint4* a, const uint4* b) {
  Operands& shared = static_smem<Operands>();
  const int lane = lane_id();
  shared.a[lane / 2][lane % 2] = a[lane];
  if (lane < 16) shared.b[lane / 2][lane % 2] = b[lane];
  __syncthreads();
  std::uint32_t a_words[4], b_words[2];
  ptx::ldmatrix_x4(a_words, &shared.a[lane % 16][lane / 16]);
  ptx::ldmatrix_x2(b_words, &shared.b[lane % 8][lane / 8 % 2]);
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = d[accumulator_index(i)];
  ptx::mma_m16n8k16(sums, a_words, b_words[0], b_words[1], T{});
  for (int i = 0; i < 4; ++i) d[accumulator_index(i)] = sums[i];
}

__global__ void multiply_tf32_kernel(float* d, const float* a, const float* b) {
  const int g = lane_id() / 4, q = lane_id() % 4;
  std::uint32_t a_words[4];
  for (int i = 0; i < 4; ++i) a_words[i] = __float_as_uint(a[(g + 8 * (i % 2)) * 8 + q + 4 * (i / 2)]);
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = d[accumulator_index(i)];
  ptx::mma_m16n8k8_tf32(sums, a_words, __float_as_uint(b[g * 8 + q]), __float_as_uint(b[g * 8 + q + 4]));
  for (int i = 0; i < 4; ++i) d[accumulator_index(i)] = sums[i];
}

struct Rows {
  uint4 in[32];
  uint4 out[32];
};

__global__ void through_registers_kernel(uint4* out, const uint4* in, bool transpose) {
  Rows& shared = static_smem<Rows>();
  const int lane = lane_id();
  shared.in[lane] = in[lane];
  __syncthreads();
  std::uint32_t words[4];
  if (transpose) {
    ptx::ldmatrix_x4_trans(words, &shared.in[lane]);
  } else {
    ptx::ldmatrix_x4(words, &shared.in[lane]);
  }
  ptx::stmatrix_x4(&shared.out[lane], words);
  __syncthreads();
  out[lane] = shared.out[lane];
}

}  // namespace

void multiply_16_bit(const LaunchContext& context, DType dtype, float* d, const void* a, const void* b) {
  void (*const kernel)(float*, const uint4*, const uint4*) =
      dtype == DType::kBFloat16 ? multiply_16_bit_kernel<__nv_bfloat16> : multiply_16_bit_kernel<__half>;
  launch(context, 1, kWarpSize, 0, kernel, d, static_cast<const uint4*>(a), static_cast<const uint4*>(b));
}

void multiply_tf32(const LaunchContext& context, float* d, const float* a, const float* b) {
  launch(context, 1, kWarpSize, 0, multiply_tf32_kernel, d, a, b);
}

void through_registers(const LaunchContext& context, void* out, const void* in, bool transpose) {
  launch(context, 1, kWarpSize, 0, through_registers_kernel, static_cast<uint4*>(out), static_cast<const uint4*>(in),
         transpose);
}

}  // namespace virgil::cuda::tensor_core
