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
  std::uint32_t a_words[4], b_words[4];
  ptx::ldmatrix_x4(a_words, &shared.a[lane % 16][lane / 16]);
  ptx::ldmatrix_x4(b_words, &shared.b[lane % 8][lane / 8 % 2]);
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = d[accumulator_index(i)];
  ptx::mma_m16n8k16(sums, a_words, b_words[0], b_words[1], T{});
  for (int i = 0; i < 4; ++i) d[accumulator_index(i)] = sums[i];
}

struct Rows {
  uint4 in[32];
};

__global__ void load_tiles_kernel(std::uint32_t* out, const uint4* in, bool transpose) {
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
  // A lane holds two neighbours of row lane / 4 of each tile.
  for (int tile = 0; tile < 4; ++tile) out[(8 * tile + lane / 4) * 4 + lane % 4] = words[tile];
}

}  // namespace

void multiply_16_bit(const LaunchContext& context, DType dtype, float* d, const void* a, const void* b) {
  void (*const kernel)(float*, const uint4*, const uint4*) =
      dtype == DType::kBFloat16 ? multiply_16_bit_kernel<__nv_bfloat16> : multiply_16_bit_kernel<__half>;
  launch(context, 1, kWarpSize, 0, kernel, d, static_cast<const uint4*>(a), static_cast<const uint4*>(b));
}

void load_tiles(const LaunchContext& context, void* out, const void* in, bool transpose) {
  launch(context, 1, kWarpSize, 0, load_tiles_kernel, static_cast<std::uint32_t*>(out), static_cast<const uint4*>(in),
         transpose);
}

}  // namespace virgil::cuda::tensor_core
