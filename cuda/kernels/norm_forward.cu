// Layernorm and RMSNorm, alone and fused with the residual add before it.
//
// A row stays in registers between its three passes (mean, variance of the centred values, output): a warp holds up to 1024
// channels, a block of 8 warps up to 8192 (a quarter of it where packs do not fit). Longer rows are read again for each pass,
// from the caches. The variance is that of centred values: E[x^2] - E[x]^2 would cancel.
//
// Floor, in bytes an element of n bytes: alone 2n, fused 4n; weight and bias come from the caches.
#include "cuda/kernels/norm.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "cuda/device/pack.h"
#include "cuda/device/random.h"
#include "cuda/device/reduce.h"

namespace virgil::cuda {

namespace {

constexpr int kBlockThreads = 256;
constexpr int kLongRowThreads = 1024;
constexpr int kWarpsPerBlock = kBlockThreads / kWarpSize;

/// Elements of a row that a thread holds.
constexpr int elements_per_thread(int width) { return width == 1 ? 8 : 32; }

/// Operands of both ops; the plain one has no branch and no residual_out.
template <typename T>
struct Operands {
  T* residual_out;
  T* out;
  float* mean;  // optional: RMSNorm, whose values are not centred
  float* rstd;
  const T* inp;  // the residual, in the fused op
  const T* branch;
  const T* weight;
  const T* bias;  // optional
  std::int64_t rows;
  std::int64_t channels;
  std::int64_t length;
  float epsilon;
  DeviceDropout dropout;
};

// --- Who works on a row
// --------------------------------------------------------------------------------------------------------

/// A warp a row; `Team` types give threads of a row their number and sum over them.
struct WarpTeam {
  static constexpr int kThreads = kWarpSize;
  static constexpr int kBlock = kBlockThreads;
  static constexpr int kRowsPerBlock = kWarpsPerBlock;
  __device__ __forceinline__ std::int64_t row() const { return std::int64_t{blockIdx.x} * kWarpsPerBlock + warp_id(); }
  __device__ __forceinline__ int thread() const { return lane_id(); }
  __device__ __forceinline__ float sum(float value) const { return warp_sum(value); }
};

/// A block a row, of at most Threads: rows of fewer packs are given fewer warps, and their bits are the same.
template <int Threads>
struct BlockTeam {
  static constexpr int kThreads = Threads;
  static constexpr int kBlock = Threads;
  static constexpr int kRowsPerBlock = 1;
  __device__ __forceinline__ std::int64_t row() const { return blockIdx.x; }
  __device__ __forceinline__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ __forceinline__ float sum(float value) const {
    return block_sum(value, static_smem<BlockReduceStorage<float, Threads>>(), static_cast<int>(blockDim.x) / kWarpSize);
  }
};

// --- Where a thread keeps its share of a row
// -----------------------------------------------------------------------------------

/// In registers: `read(c)` is called once for every pack, and the result kept.
template <typename T, int Width, int Threads>
struct RowInRegisters {
  static constexpr int kPacks = elements_per_thread(Width) / Width;
  Pack<T, Width> packs[kPacks];

  template <typename Read>
  __device__ __forceinline__ RowInRegisters(int thread, std::int64_t channels, Read read) {
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      const std::int64_t c = std::int64_t{k * Threads + thread} * Width;
      if (c < channels) packs[k] = read(c);
    }
  }
  template <typename Visit>
  __device__ __forceinline__ void visit(int thread, std::int64_t channels, Visit visit) const {
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      const std::int64_t c = std::int64_t{k * Threads + thread} * Width;
      if (c < channels) visit(c, packs[k]);
    }
  }
};

/// In memory: `read(c)` is called once and leaves its result at row[c], if it was not there before.
template <typename T, int Width, int Threads>
struct RowInMemory {
  const T* row;

  template <typename Read>
  __device__ __forceinline__ RowInMemory(const T* row_in, int thread, std::int64_t channels, Read read) : row(row_in) {
    for (std::int64_t c = std::int64_t{thread} * Width; c < channels; c += Threads * Width) read(c);
  }
  template <typename Visit>
  __device__ __forceinline__ void visit(int thread, std::int64_t channels, Visit visit) const {
    for (std::int64_t c = std::int64_t{thread} * Width; c < channels; c += Threads * Width) {
      visit(c, load_pack<T, Width>(row + c));
    }
  }
};

// --- The kernel
// ----------------------------------------------------------------------------------------------------------------

/// Packs of `inp`, or of residual_out = residual + dropout(branch), which it stores.
template <typename T, int Width, bool Fused>
struct RowReader {
  const Operands<T>& op;
  std::int64_t row;

  __device__ __forceinline__ Pack<T, Width> operator()(std::int64_t c) const {
    const std::int64_t i = row * op.channels + c;
    Pack<T, Width> x = load_pack<T, Width>(op.inp + i);
    if constexpr (Fused) {
      const Pack<T, Width> branch = load_pack_streaming<T, Width>(op.branch + i);
      float factors[Width];
      if (op.dropout.enabled) {
        const std::uint64_t base = dropout_row_base(op.dropout, row, op.length, op.channels);
        dropout_factors_at<Width>(op.dropout, base + static_cast<std::uint64_t>(c), factors);
      } else {
#pragma unroll
        for (int k = 0; k < Width; ++k) factors[k] = 1;
      }
#pragma unroll
      for (int k = 0; k < Width; ++k) x[k] = from_float<T>(fmaf(to_float(branch[k]), factors[k], to_float(x[k])));
      store_pack(op.residual_out + i, x);
    }
    return x;
  }
};

template <typename T, int Width, typename Team, typename Row>
__device__ __forceinline__ void normalize(const Operands<T>& op, std::int64_t row, const Team& team, const Row& values) {
  const int thread = team.thread();
  const std::int64_t C = op.channels;
  const auto count = static_cast<float>(C);
  float mean = 0;
  if (op.mean != nullptr) {
    float sum = 0;
    values.visit(thread, C, [&](std::int64_t /*c*/, const Pack<T, Width>& x) {
#pragma unroll
      for (int k = 0; k < Width; ++k) sum += to_float(x[k]);
    });
    mean = team.sum(sum) / count;
  }
  float squares = 0;
  values.visit(thread, C, [&](std::int64_t /*c*/, const Pack<T, Width>& x) {
#pragma unroll
    for (int k = 0; k < Width; ++k) {
      const float centred = to_float(x[k]) - mean;
      squares = fmaf(centred, centred, squares);
    }
  });
  const float rstd = 1.0F / sqrtf(team.sum(squares) / count + op.epsilon);
  values.visit(thread, C, [&](std::int64_t c, const Pack<T, Width>& x) {
    const Pack<T, Width> weight = load_pack_readonly<T, Width>(op.weight + c);
    Pack<T, Width> bias;
    if (op.bias != nullptr) bias = load_pack_readonly<T, Width>(op.bias + c);
    Pack<T, Width> out;
#pragma unroll
    for (int k = 0; k < Width; ++k) {
      const float normalized = (to_float(x[k]) - mean) * rstd;
      out[k] = from_float<T>(fmaf(normalized, to_float(weight[k]), op.bias != nullptr ? to_float(bias[k]) : 0.0F));
    }
    store_pack(op.out + row * C + c, out);
  });
  if (thread == 0) {
    if (op.mean != nullptr) op.mean[row] = mean;
    op.rstd[row] = rstd;
  }
}

/// Blocks a multiprocessor shall hold: without a word the compiler aims at more than rows in registers leave room for, and
/// spills.
template <typename Team>
inline constexpr int kMinBlocks = Team::kBlock == kBlockThreads ? 3 : 1;

template <typename T, int Width, typename Team, bool InRegisters, bool Fused>
__global__ __launch_bounds__(Team::kBlock, kMinBlocks<Team>) void norm_kernel(Operands<T> op) {
  const Team team;
  const std::int64_t row = team.row();
  if (row >= op.rows) return;  // a whole team
  const RowReader<T, Width, Fused> read{op, row};
  if constexpr (InRegisters) {
    normalize<T, Width>(op, row, team, RowInRegisters<T, Width, Team::kThreads>(team.thread(), op.channels, read));
  } else if constexpr (Fused) {
    normalize<T, Width>(
        op, row, team,
        RowInMemory<T, Width, Team::kThreads>(op.residual_out + row * op.channels, team.thread(), op.channels, read));
  } else {
    const auto nothing = [](std::int64_t /*c*/) {};
    normalize<T, Width>(op, row, team,
                        RowInMemory<T, Width, Team::kThreads>(op.inp + row * op.channels, team.thread(), op.channels, nothing));
  }
}

// --- Launch
// --------------------------------------------------------------------------------------------------------------------

/// The shape follows from the channels and their alignment alone, so that the fused op and the plain one give the same bits.
template <typename T, int Width, bool Fused>
void launch_norm(const LaunchContext& context, const Operands<T>& op) {
  const std::int64_t packs = (op.channels + Width - 1) / Width;
  const auto start = [&]<typename Team, bool InRegisters>() {
    const std::int64_t useful_threads =
        Team::kRowsPerBlock == 1 ? (packs + kWarpSize - 1) / kWarpSize * kWarpSize : Team::kBlock;
    const auto threads = static_cast<unsigned>(std::min<std::int64_t>(useful_threads, Team::kBlock));
    launch(context, blocks_for(op.rows, Team::kRowsPerBlock), threads, 0, norm_kernel<T, Width, Team, InRegisters, Fused>, op);
  };
  if (op.channels <= elements_per_thread(Width) * kWarpSize) {
    start.template operator()<WarpTeam, true>();
  } else if (op.channels <= elements_per_thread(Width) * kBlockThreads) {
    start.template operator()<BlockTeam<kBlockThreads>, true>();
  } else {
    start.template operator()<BlockTeam<kLongRowThreads>, false>();
  }
}

template <typename T, bool Fused>
void run(const LaunchContext& context, const Operands<T>& op) {
  if (op.rows == 0 || op.channels == 0) return;
  if (packs_fit<T>(op.channels, op.residual_out, op.out, op.inp, op.branch, op.weight, op.bias)) {
    launch_norm<T, Pack<T>::kSize, Fused>(context, op);
  } else {
    launch_norm<T, 1, Fused>(context, op);
  }
}

/// The plain op without residual_out, branch and dropout.
template <bool Fused>
void run_any(const LaunchContext& context, DType dtype, const ResidualNorm& operands, const Dropout& dropout) {
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    run<T, Fused>(context, {.residual_out = static_cast<T*>(operands.residual_out),
                            .out = static_cast<T*>(operands.out),
                            .mean = operands.mean,
                            .rstd = operands.rstd,
                            .inp = static_cast<const T*>(operands.residual),
                            .branch = static_cast<const T*>(operands.branch),
                            .weight = static_cast<const T*>(operands.weight),
                            .bias = static_cast<const T*>(operands.bias),
                            .rows = operands.rows,
                            .channels = operands.channels,
                            .length = operands.length,
                            .epsilon = operands.epsilon,
                            .dropout = DeviceDropout(dropout, context.place)});
  });
}

}  // namespace

void norm_forward(const LaunchContext& context, DType dtype, const ResidualNorm& operands) {
  run_any<false>(context, dtype, operands, {});
}

void residual_norm_forward(const LaunchContext& context, DType dtype, const ResidualNorm& operands, const Dropout& dropout) {
  run_any<true>(context, dtype, operands, dropout);
}

}  // namespace virgil::cuda
