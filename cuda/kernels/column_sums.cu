// Sums over rows. Rows are cut into pieces whose number follows from their count alone; a block sums one strip of columns of
// one piece, and a second kernel adds the pieces in order. Neither order depends on the device.
//
// Floor: one read of the (rows, C) tensor. Pieces add 8 bytes a column each: an eighth of what 32 to 4096 rows of
// 16 bits hold, 3 % for 16384.
#include "cuda/kernels/column_sums.h"

#include <cstdint>

#include "cuda/device/pack.h"
#include "cuda/kernels/piece_sizes.h"

namespace virgil::cuda {

namespace {

constexpr int kRowWarps = 8;     // of a block that sums rows
constexpr int kPieceWarps = 32;  // of a block that adds pieces: there are few such blocks, and their time is latency

std::int64_t rows_per_piece(std::int64_t rows) { return ColumnPieces::rows(rows); }
std::int64_t num_pieces(std::int64_t rows) { return ColumnPieces::count(rows); }

template <int Width, int Warps>
struct StripStorage {
  float sums[Warps][kWarpSize * Width];
};

/// Sums of columns c0 to c0 + 32 Width - 1 over rows [begin, end): the warps take turns at the rows, and then their sums are
/// added in order. sums[i] of thread t < 32 is that of column c0 + t Width + i; the sums of other threads have no meaning.
template <typename T, int Width, int Warps>
__device__ __forceinline__ void sum_strip(float (&sums)[Width], StripStorage<Width, Warps>& storage, const T* rows,
                                          std::int64_t begin, std::int64_t end, std::int64_t channels, std::int64_t c0) {
  const std::int64_t c = c0 + lane_id() * Width;
#pragma unroll
  for (int i = 0; i < Width; ++i) sums[i] = 0;
  if (c < channels) {
#pragma unroll 4
    for (std::int64_t row = begin + warp_id(); row < end; row += Warps) {
      const Pack<T, Width> x = load_pack_streaming<T, Width>(rows + row * channels + c);
#pragma unroll
      for (int i = 0; i < Width; ++i) sums[i] += to_float(x[i]);
    }
  }
#pragma unroll
  for (int i = 0; i < Width; ++i) storage.sums[warp_id()][i * kWarpSize + lane_id()] = sums[i];
  __syncthreads();
  if (warp_id() == 0) {
#pragma unroll
    for (int w = 1; w < Warps; ++w) {
#pragma unroll
      for (int i = 0; i < Width; ++i) sums[i] += storage.sums[w][i * kWarpSize + lane_id()];
    }
  }
}

/// partials (pieces, C): block (x, y) writes strip x of piece y.
template <typename T, int Width>
__global__ __launch_bounds__(kRowWarps* kWarpSize) void sum_rows_kernel(float* partials, const T* inp, std::int64_t rows,
                                                                        std::int64_t channels, std::int64_t rows_per_piece) {
  auto& storage = static_smem<StripStorage<Width, kRowWarps>>();
  const std::int64_t begin = blockIdx.y * rows_per_piece;
  const std::int64_t end = begin + rows_per_piece < rows ? begin + rows_per_piece : rows;
  const std::int64_t c0 = std::int64_t{blockIdx.x} * (kWarpSize * Width);
  float sums[Width];
  sum_strip<T>(sums, storage, inp, begin, end, channels, c0);
  const std::int64_t c = c0 + lane_id() * Width;
  if (warp_id() == 0 && c < channels) store_floats(partials + blockIdx.y * channels + c, sums);
}

/// out0 (C) += sums over pieces of partials[0] (pieces, C); blocks with y = 1 do the same with out1 and partials[1].
__global__ __launch_bounds__(kPieceWarps* kWarpSize) void add_pieces_kernel(float* out0, float* out1, const float* partials,
                                                                            std::int64_t pieces, std::int64_t channels) {
  auto& storage = static_smem<StripStorage<1, kPieceWarps>>();
  const std::int64_t c0 = std::int64_t{blockIdx.x} * kWarpSize;
  float sums[1];
  sum_strip(sums, storage, partials + blockIdx.y * pieces * channels, 0, pieces, channels, c0);
  float* out = blockIdx.y == 0 ? out0 : out1;
  const std::int64_t c = c0 + lane_id();
  if (warp_id() == 0 && c < channels) out[c] += sums[0];
}

}  // namespace

void add_row_pieces(const LaunchContext& context, float* out0, float* out1, const float* partials, std::int64_t pieces,
                    std::int64_t channels) {
  const dim3 grid(blocks_for(channels, kWarpSize), out1 == nullptr ? 1 : 2);
  launch(context, grid, kPieceWarps * kWarpSize, 0, add_pieces_kernel, out0, out1, partials, pieces, channels);
}

void bias_backward(const LaunchContext& context, DType dtype, float* dbias, const void* dout, std::int64_t rows,
                   std::int64_t channels, std::span<std::byte> workspace) {
  if (rows == 0 || channels == 0) return;
  const std::int64_t pieces = num_pieces(rows);
  auto* partials = workspace_as<float>(workspace, pieces * channels);
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int kSize = Pack<T>::kSize;
    const bool packs = packs_fit<T>(channels, static_cast<const T*>(dout), partials);
    const dim3 grid(blocks_for(channels, kWarpSize * (packs ? kSize : 1)), static_cast<unsigned>(pieces));
    launch(context, grid, kRowWarps * kWarpSize, 0, packs ? sum_rows_kernel<T, kSize> : sum_rows_kernel<T, 1>, partials,
           static_cast<const T*>(dout), rows, channels, rows_per_piece(rows));
  });
  add_row_pieces(context, dbias, nullptr, partials, pieces, channels);
}

}  // namespace virgil::cuda
