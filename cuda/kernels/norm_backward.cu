// The way back through layernorm. With norm = (inp - mean) rstd and dnorm = dout weight, both means over a row:
//   dinp += (dnorm - mean(dnorm) - norm mean(dnorm norm)) rstd,  dweight += sum over rows of dout norm,  dbias += of dout.
// RMSNorm has no mean and no bias, and mean(dnorm) falls away too.
//
// Rows are cut into pieces whose number follows from the sizes alone. A block goes through the rows of one piece; each thread
// owns the same channels in all of them, so that its share of dweight and dbias stays in registers until the end.
// add_row_pieces then adds the pieces in order.
//
// Floor, in bytes an element of n bytes: 4n (read dout, inp and dinp, write dinp). The pieces add 6 % to 16384 rows of 16 bits.
#include <cstddef>
#include <cstdint>
#include <span>

#include "cuda/device/pack.h"
#include "cuda/device/reduce.h"
#include "cuda/kernels/column_sums.h"
#include "cuda/kernels/norm.h"
#include "cuda/kernels/piece_sizes.h"

namespace virgil::cuda {

namespace {

constexpr int kMaxThreads = 512;
constexpr int kMaxPacks = 2;  // a thread, in registers

std::int64_t num_pieces(std::int64_t rows, std::int64_t channels) { return NormPieces::count(rows, channels); }

template <typename T>
struct Operands {
  T* dinp;
  float* partials;  // (2, pieces, C): dweight, dbias
  const T* dout;
  const T* inp;
  const T* weight;
  const float* mean;  // optional: RMSNorm
  const float* rstd;
  std::int64_t rows;
  std::int64_t channels;
  std::int64_t rows_per_piece;
};

/// Sums over a row.
struct RowSums {
  float dnorm = 0;
  float dnorm_norm = 0;
};

/// Partial sums of Rows rows by warp; two sets, so that one barrier a step suffices: a set is written again only after the
/// barrier of the step between.
template <int Rows>
struct Storage {
  RowSums partial[2][Rows][kMaxThreads / kWarpSize];
};

/// sums of each thread become those of the block.
template <int Rows>
__device__ __forceinline__ void add_over_block(RowSums (&sums)[Rows], Storage<Rows>& storage, int set) {
  const int num_warps = static_cast<int>(blockDim.x) / kWarpSize;
#pragma unroll
  for (int r = 0; r < Rows; ++r) {
    const RowSums warp{warp_sum(sums[r].dnorm), warp_sum(sums[r].dnorm_norm)};
    if (lane_id() == 0) storage.partial[set][r][warp_id()] = warp;
  }
  __syncthreads();
#pragma unroll
  for (int r = 0; r < Rows; ++r) {
    const RowSums mine = lane_id() < num_warps ? storage.partial[set][r][lane_id()] : RowSums{};
    sums[r] = {warp_sum(mine.dnorm), warp_sum(mine.dnorm_norm)};
  }
}

/// What one element takes part in.
struct Element {
  float dout;
  float norm;
  float dnorm;
  __device__ __forceinline__ Element(float dout_in, float inp, float weight, float mean, float rstd)
      : dout(dout_in), norm((inp - mean) * rstd), dnorm(dout_in * weight) {}
  __device__ __forceinline__ void add_to(RowSums& sums) const {
    sums.dnorm += dnorm;
    sums.dnorm_norm = fmaf(dnorm, norm, sums.dnorm_norm);
  }
  /// dinp with this element's gradient added.
  [[nodiscard]] __device__ __forceinline__ float added(float dinp, const RowSums& means, float rstd) const {
    return fmaf(fmaf(-norm, means.dnorm_norm, dnorm - means.dnorm), rstd, dinp);
  }
};

template <typename T>
__device__ __forceinline__ float* piece_of(const Operands<T>& op, int which) {
  return op.partials + (std::int64_t{which} * gridDim.x + blockIdx.x) * op.channels;
}

/// Over the channels; RMSNorm, whose values are not centred, has only the second.
template <bool Centred>
__device__ __forceinline__ RowSums means_of(const RowSums& sums, std::int64_t channels) {
  const auto count = static_cast<float>(channels);
  return {Centred ? sums.dnorm / count : 0.0F, sums.dnorm_norm / count};
}

/// Rows of at most Packs packs a thread. Two packs are under way at a time: those of two short rows or of a long one.
template <typename T, int Width, int Packs, bool Centred>
__global__ __launch_bounds__(kMaxThreads) void norm_backward_kernel(Operands<T> op) {
  constexpr int kRows = kMaxPacks / Packs;
  auto& storage = static_smem<Storage<kRows>>();
  const std::int64_t C = op.channels;
  const std::int64_t begin = std::int64_t{blockIdx.x} * op.rows_per_piece;
  const std::int64_t end = begin + op.rows_per_piece < op.rows ? begin + op.rows_per_piece : op.rows;
  const auto channel = [](int k) {
    return std::int64_t{k * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)} * Width;
  };

  Pack<T, Width> weight[Packs] = {};
  float dweight[Packs][Width] = {};
  float dbias[Packs][Width] = {};
#pragma unroll
  for (int k = 0; k < Packs; ++k) {
    if (channel(k) < C) weight[k] = load_pack_readonly<T, Width>(op.weight + channel(k));
  }
  int set = 0;
  for (std::int64_t first = begin; first < end; first += kRows, set ^= 1) {
    // --- Read, and sum over the rows ---
    Pack<T, Width> dout[kRows][Packs], inp[kRows][Packs], dinp[kRows][Packs];
    float mean[kRows], rstd[kRows];
    RowSums sums[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const std::int64_t row = first + r;
      mean[r] = Centred && row < end ? op.mean[row] : 0.0F;
      rstd[r] = row < end ? op.rstd[row] : 0.0F;
#pragma unroll
      for (int k = 0; k < Packs; ++k) {
        if (row < end && channel(k) < C) {
          dout[r][k] = load_pack_streaming<T, Width>(op.dout + row * C + channel(k));
          inp[r][k] = load_pack_streaming<T, Width>(op.inp + row * C + channel(k));
          dinp[r][k] = load_pack<T, Width>(op.dinp + row * C + channel(k));
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int k = 0; k < Packs; ++k) {
        if (first + r < end && channel(k) < C) {
#pragma unroll
          for (int i = 0; i < Width; ++i) {
            Element(to_float(dout[r][k][i]), to_float(inp[r][k][i]), to_float(weight[k][i]), mean[r], rstd[r]).add_to(sums[r]);
          }
        }
      }
    }
    add_over_block(sums, storage, set);

    // --- Gradients ---
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const RowSums means = means_of<Centred>(sums[r], C);
#pragma unroll
      for (int k = 0; k < Packs; ++k) {
        if (first + r < end && channel(k) < C) {
#pragma unroll
          for (int i = 0; i < Width; ++i) {
            const Element e(to_float(dout[r][k][i]), to_float(inp[r][k][i]), to_float(weight[k][i]), mean[r], rstd[r]);
            dinp[r][k][i] = from_float<T>(e.added(to_float(dinp[r][k][i]), means, rstd[r]));
            dweight[k][i] = fmaf(e.dout, e.norm, dweight[k][i]);
            if constexpr (Centred) dbias[k][i] += e.dout;
          }
          store_pack(op.dinp + (first + r) * C + channel(k), dinp[r][k]);
        }
      }
    }
  }
#pragma unroll
  for (int k = 0; k < Packs; ++k) {
    if (channel(k) < C) {
      store_floats(piece_of(op, 0) + channel(k), dweight[k]);
      if constexpr (Centred) store_floats(piece_of(op, 1) + channel(k), dbias[k]);
    }
  }
}

/// Rows of any length: read twice, and the sums of dweight and dbias stay in the piece, which is in the caches.
template <typename T, int Width, bool Centred>
__global__ __launch_bounds__(kMaxThreads, 2) void norm_backward_long_kernel(Operands<T> op) {
  auto& storage = static_smem<Storage<1>>();
  const std::int64_t C = op.channels;
  const std::int64_t begin = std::int64_t{blockIdx.x} * op.rows_per_piece;
  const std::int64_t end = begin + op.rows_per_piece < op.rows ? begin + op.rows_per_piece : op.rows;
  const std::int64_t first_channel = std::int64_t{threadIdx.x} * Width;
  float* dweight = piece_of(op, 0);
  float* dbias = piece_of(op, 1);
  int set = 0;
  for (std::int64_t row = begin; row < end; ++row, set ^= 1) {
    const float mean = Centred ? op.mean[row] : 0.0F, rstd = op.rstd[row];
    RowSums sums[1];
    for (std::int64_t c = first_channel; c < C; c += kMaxThreads * Width) {
      const Pack<T, Width> dout = load_pack<T, Width>(op.dout + row * C + c);
      const Pack<T, Width> inp = load_pack<T, Width>(op.inp + row * C + c);
      const Pack<T, Width> weight = load_pack_readonly<T, Width>(op.weight + c);
#pragma unroll
      for (int i = 0; i < Width; ++i) {
        const Element e(to_float(dout[i]), to_float(inp[i]), to_float(weight[i]), mean, rstd);
        e.add_to(sums[0]);
        dweight[c + i] = fmaf(e.dout, e.norm, row == begin ? 0.0F : dweight[c + i]);
        if constexpr (Centred) dbias[c + i] = e.dout + (row == begin ? 0.0F : dbias[c + i]);
      }
    }
    add_over_block(sums, storage, set);
    const RowSums means = means_of<Centred>(sums[0], C);
    for (std::int64_t c = first_channel; c < C; c += kMaxThreads * Width) {
      const Pack<T, Width> dout = load_pack_streaming<T, Width>(op.dout + row * C + c);
      const Pack<T, Width> inp = load_pack_streaming<T, Width>(op.inp + row * C + c);
      const Pack<T, Width> weight = load_pack_readonly<T, Width>(op.weight + c);
      Pack<T, Width> dinp = load_pack<T, Width>(op.dinp + row * C + c);
#pragma unroll
      for (int i = 0; i < Width; ++i) {
        const Element e(to_float(dout[i]), to_float(inp[i]), to_float(weight[i]), mean, rstd);
        dinp[i] = from_float<T>(e.added(to_float(dinp[i]), means, rstd));
      }
      store_pack(op.dinp + row * C + c, dinp);
    }
  }
}

template <typename T, int Width, bool Centred>
void launch_backward(const LaunchContext& context, const Operands<T>& op) {
  const std::int64_t packs = (op.channels + Width - 1) / Width;
  const unsigned blocks = blocks_for(op.rows, op.rows_per_piece);
  const auto whole_warps = [](std::int64_t threads) {
    return static_cast<unsigned>((threads + kWarpSize - 1) / kWarpSize) * kWarpSize;
  };
  if (packs <= kMaxThreads) {
    launch(context, blocks, whole_warps(packs), 0, norm_backward_kernel<T, Width, 1, Centred>, op);
  } else if (packs <= kMaxThreads * kMaxPacks) {
    launch(context, blocks, whole_warps((packs + 1) / kMaxPacks), 0, norm_backward_kernel<T, Width, kMaxPacks, Centred>, op);
  } else {
    launch(context, blocks, kMaxThreads, 0, norm_backward_long_kernel<T, Width, Centred>, op);
  }
}

template <typename T, int Width>
void launch_backward(const LaunchContext& context, const Operands<T>& op) {
  if (op.mean != nullptr) {
    launch_backward<T, Width, true>(context, op);
  } else {
    launch_backward<T, Width, false>(context, op);
  }
}

}  // namespace

void norm_backward(const LaunchContext& context, DType dtype, const NormGradients& operands, std::span<std::byte> workspace) {
  const std::int64_t rows = operands.rows, channels = operands.channels;
  if (rows == 0 || channels == 0) return;
  const std::int64_t pieces = num_pieces(rows, channels);
  auto* partials = workspace_as<float>(workspace, 2 * pieces * channels);
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    const Operands<T> op{
        .dinp = static_cast<T*>(operands.dinp),
        .partials = partials,
        .dout = static_cast<const T*>(operands.dout),
        .inp = static_cast<const T*>(operands.inp),
        .weight = static_cast<const T*>(operands.weight),
        .mean = operands.mean,
        .rstd = operands.rstd,
        .rows = rows,
        .channels = channels,
        .rows_per_piece = NormPieces::rows(rows, channels),
    };
    if (packs_fit<T>(channels, op.dinp, op.dout, op.inp, op.weight, op.partials)) {
      launch_backward<T, Pack<T>::kSize>(context, op);
    } else {
      launch_backward<T, 1>(context, op);
    }
  });
  add_row_pieces(context, operands.dweight, operands.dbias, partials, pieces, channels);
}

}  // namespace virgil::cuda
