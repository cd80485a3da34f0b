// Sums over a whole tensor: pieces of a size that follows from the count alone are summed by a block each, then one block adds
// the pieces. Every order is fixed, so the bits depend neither on the device nor on the grid.
//
// Floor: one read of the tensor. Sums are float64, whose units are few on consumer GPUs: about two instructions an element
// there cost as much time as the read.
#include "cuda/kernels/reductions.h"

#include <cstdint>

#include "cuda/device/pack.h"
#include "cuda/device/reduce.h"
#include "cuda/kernels/piece_sizes.h"

namespace virgil::cuda {

namespace {

constexpr int kThreads = 256;

std::int64_t piece_size(std::int64_t count) { return ReductionPieces::elements(count); }
std::int64_t num_pieces(std::int64_t count) { return ReductionPieces::count(count); }

template <bool Square>
__device__ __forceinline__ double add_term(double sum, float value) {
  const auto x = static_cast<double>(value);
  return Square ? fma(x, x, sum) : sum + x;
}

/// partials[blockIdx.x] = the sum, or the sum of squares, of this block's piece.
template <typename T, int Width, bool Square>
__global__ __launch_bounds__(kThreads) void sum_pieces_kernel(double* partials, const T* inp, std::int64_t count,
                                                              std::int64_t piece) {
  auto& storage = static_smem<BlockReduceStorage<double, kThreads>>();
  const std::int64_t begin = std::int64_t{blockIdx.x} * piece;
  const std::int64_t end = begin + piece < count ? begin + piece : count;
  const std::int64_t packs_end = begin + (end - begin) / Width * Width;
  double sum0 = 0, sum1 = 0;  // two chains hide the latency of additions
#pragma unroll 4
  for (std::int64_t i = begin + std::int64_t{threadIdx.x} * Width; i < packs_end; i += kThreads * Width) {
    const Pack<T, Width> x = load_pack_streaming<T, Width>(inp + i);
#pragma unroll
    for (int k = 0; k < Width; ++k) {
      if (k % 2 == 0) {
        sum0 = add_term<Square>(sum0, to_float(x[k]));
      } else {
        sum1 = add_term<Square>(sum1, to_float(x[k]));
      }
    }
  }
  if (packs_end + threadIdx.x < end) sum0 = add_term<Square>(sum0, to_float(inp[packs_end + threadIdx.x]));
  const double total = block_sum(sum0 + sum1, storage);
  if (threadIdx.x == 0) partials[blockIdx.x] = total;
}

/// out = the sum of all partials, or its root times scale.
template <bool Square>
__global__ __launch_bounds__(kThreads) void add_pieces_kernel(float* out, const double* partials, int count, float scale) {
  auto& storage = static_smem<BlockReduceStorage<double, kThreads>>();
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) sum += partials[i];
  const double total = block_sum(sum, storage);
  if (threadIdx.x == 0) *out = static_cast<float>(Square ? sqrt(total) * static_cast<double>(scale) : total);
}

template <bool Square>
void reduce(const LaunchContext& context, DType dtype, float* out, const void* inp, std::int64_t count, float scale,
            std::span<std::byte> workspace) {
  const std::int64_t pieces = num_pieces(count);
  auto* partials = workspace_as<double>(workspace, pieces);
  if (pieces > 0) {
    with_device_type(dtype, [&](auto element) {
      using T = decltype(element);
      constexpr int kSize = Pack<T>::kSize;
      const bool packs = packs_fit<T>(0, static_cast<const T*>(inp));
      launch(context, blocks_for(pieces, 1), kThreads, 0,
             packs ? sum_pieces_kernel<T, kSize, Square> : sum_pieces_kernel<T, 1, Square>, partials,
             static_cast<const T*>(inp), count, piece_size(count));
    });
  }
  launch(context, 1, kThreads, 0, add_pieces_kernel<Square>, out, partials, pieces, scale);
}

}  // namespace

void reduce_sum(const LaunchContext& context, DType dtype, float* out, const void* inp, std::int64_t count,
                std::span<std::byte> workspace) {
  reduce<false>(context, dtype, out, inp, count, 1.0F, workspace);
}

void l2_norm(const LaunchContext& context, DType dtype, float* out, const void* inp, std::int64_t count, float scale,
             std::span<std::byte> workspace) {
  reduce<true>(context, dtype, out, inp, count, scale, workspace);
}

}  // namespace virgil::cuda
