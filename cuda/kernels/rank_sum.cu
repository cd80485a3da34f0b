// Sums in order of rank, elementwise. Floor, in bytes an element: 2 for each rank and 4.
#include "cuda/kernels/rank_sum.h"

#include <cstdint>

#include "cuda/device/pack.h"

namespace virgil::cuda {

namespace {

constexpr int kThreads = 256;

template <int Width>
__device__ __forceinline__ void sum_pack(float* out, const __nv_bfloat16* in, std::int64_t first, std::int64_t row_stride,
                                         int num_ranks) {
  float sums[Width];
  const Pack<__nv_bfloat16, Width> own = load_pack_streaming<__nv_bfloat16, Width>(in + first);
#pragma unroll
  for (int i = 0; i < Width; ++i) sums[i] = to_float(own[i]);
    // Reads of several ranks are under way before the first is added.
#pragma unroll 4
  for (int rank = 1; rank < num_ranks; ++rank) {
    const Pack<__nv_bfloat16, Width> next = load_pack_streaming<__nv_bfloat16, Width>(in + rank * row_stride + first);
#pragma unroll
    for (int i = 0; i < Width; ++i) sums[i] += to_float(next[i]);
  }
  store_floats(out + first, sums);
}

/// Width elements a thread and step; the first threads add the count % Width that remain.
template <int Width>
__global__ __launch_bounds__(kThreads) void sum_of_ranks_kernel(float* out, const __nv_bfloat16* in, std::int64_t count,
                                                                std::int64_t row_stride, int num_ranks) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const std::int64_t num_packs = count / Width;
  for (std::int64_t i = thread; i < num_packs; i += std::int64_t{gridDim.x} * kThreads) {
    sum_pack<Width>(out, in, i * Width, row_stride, num_ranks);
  }
  if (thread < count % Width) sum_pack<1>(out, in, num_packs * Width + thread, row_stride, num_ranks);
}

}  // namespace

void sum_of_ranks(const LaunchContext& context, float* out, const void* in, std::int64_t count, std::int64_t row_stride,
                  int num_ranks) {
  if (count == 0) return;
  constexpr int kSize = Pack<__nv_bfloat16>::kSize;
  const bool packs = packs_fit<__nv_bfloat16>(row_stride, out, in);
  const unsigned blocks = grid_stride_blocks(context, packs ? (count + kSize - 1) / kSize : count, kThreads);
  launch(context, blocks, kThreads, 0, packs ? sum_of_ranks_kernel<kSize> : sum_of_ranks_kernel<1>, out,
         static_cast<const __nv_bfloat16*>(in), count, row_stride, num_ranks);
}

}  // namespace virgil::cuda
