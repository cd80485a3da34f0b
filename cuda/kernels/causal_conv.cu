// Causal depthwise convolutions. A thread owns channels and walks along a run of rows with the last few of them in registers:
// only the K rows before the run (or, going back, after it) are read by two threads.
//
// Floor, in bytes an element of n bytes: forward 2n; backward 3n. Rows that two threads read come from the caches: K for each
// 32 of the forward pass; of dout, K for each eighth of a piece (at 8,192 rows, 8).
#include "cuda/kernels/causal_conv.h"

#include <cstdint>

#include "cuda/device/pack.h"
#include "cuda/kernels/column_sums.h"
#include "cuda/kernels/piece_sizes.h"
#include "virgil/ops/conv_taps.h"

namespace virgil::cuda {

namespace {

constexpr int kTaps = kMaxConvTaps;
constexpr int kForwardThreads = 128;
constexpr std::int64_t kForwardRows = 32;  // that a thread walks along
constexpr int kRowWarps = 8;               // of a block of the backward pass, each with rows of its own
constexpr int kDecodeThreads = 128;

/// The rows that a thread has seen last: [0] is the latest.
template <int Width>
struct Window {
  float rows[kTaps][Width];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int k = 0; k < kTaps; ++k) {
#pragma unroll
      for (int i = 0; i < Width; ++i) rows[k][i] = 0;
    }
  }
  __device__ __forceinline__ void push(const float (&row)[Width]) {
#pragma unroll
    for (int k = kTaps - 1; k > 0; --k) {
#pragma unroll
      for (int i = 0; i < Width; ++i) rows[k][i] = rows[k - 1][i];
    }
#pragma unroll
    for (int i = 0; i < Width; ++i) rows[0][i] = row[i];
  }
};

template <typename T, int Width>
__device__ __forceinline__ void load_row(float (&row)[Width], const T* address) {
  const Pack<T, Width> pack = load_pack<T, Width>(address);
#pragma unroll
  for (int i = 0; i < Width; ++i) row[i] = to_float(pack[i]);
}

/// row + sum over k of weight[k] * window[k], as T.
template <typename T, int Width>
__device__ __forceinline__ Pack<T, Width> joined(const float (&row)[Width], const Window<Width>& window,
                                                 const Pack<T, Width> (&weight)[kTaps], int taps) {
  Pack<T, Width> result;
#pragma unroll
  for (int i = 0; i < Width; ++i) {
    float sum = row[i];
#pragma unroll
    for (int k = 0; k < kTaps; ++k) {
      if (k < taps) sum = fmaf(to_float(weight[k][i]), window.rows[k][i], sum);
    }
    result[i] = from_float<T>(sum);
  }
  return result;
}

template <typename T, int Width>
__device__ __forceinline__ void load_weights(Pack<T, Width> (&weight)[kTaps], const T* address, std::int64_t channels,
                                             int taps) {
#pragma unroll
  for (int k = 0; k < kTaps; ++k) {
    if (k < taps) weight[k] = load_pack_readonly<T, Width>(address + k * channels);
  }
}

template <typename T>
struct ForwardOperands {
  T* out;
  const T* inp;
  const T* weight;
  std::int64_t rows;
  std::int64_t length;
  std::int64_t channels;
  int taps;
};

/// Block (x, y) takes run x of the rows and strip y of the channels.
template <typename T, int Width>
__global__ __launch_bounds__(kForwardThreads) void causal_conv_forward_kernel(ForwardOperands<T> op) {
  const std::int64_t c = (std::int64_t{blockIdx.y} * kForwardThreads + threadIdx.x) * Width;
  if (c >= op.channels) return;
  const std::int64_t begin = std::int64_t{blockIdx.x} * kForwardRows;
  const std::int64_t end = begin + kForwardRows < op.rows ? begin + kForwardRows : op.rows;
  Pack<T, Width> weight[kTaps] = {};
  load_weights(weight, op.weight + c, op.channels, op.taps);
  Window<Width> window;
  window.clear();
  std::int64_t t = begin % op.length;
  float row[Width];
  for (std::int64_t before = t < op.taps ? t : op.taps; before > 0; --before) {
    load_row<T>(row, op.inp + (begin - before) * op.channels + c);
    window.push(row);
  }
  for (std::int64_t r = begin; r < end; ++r, ++t) {
    if (t == op.length) {
      t = 0;
      window.clear();
    }
    load_row<T>(row, op.inp + r * op.channels + c);
    store_pack(op.out + r * op.channels + c, joined<T>(row, window, weight, op.taps));
    window.push(row);
  }
}

template <typename T>
struct BackwardOperands {
  T* dinp;
  float* partials;  // (pieces, K, C)
  const T* dout;
  const T* inp;
  const T* weight;
  std::int64_t rows;
  std::int64_t length;
  std::int64_t channels;
  std::int64_t rows_per_piece;
  int taps;
};

template <int Width>
struct WeightSums {
  float sums[kRowWarps][kWarpSize * Width];
};

/// Block (x, y) takes strip x of the channels and piece y of the rows, each warp a run of these, from the last to the first.
template <typename T, int Width>
__global__ __launch_bounds__(kRowWarps* kWarpSize) void causal_conv_backward_kernel(BackwardOperands<T> op) {
  auto& storage = static_smem<WeightSums<Width>>();
  const std::int64_t c = (std::int64_t{blockIdx.x} * kWarpSize + lane_id()) * Width;
  const bool has_channels = c < op.channels;
  const std::int64_t rows_per_warp = (op.rows_per_piece + kRowWarps - 1) / kRowWarps;
  const std::int64_t piece_begin = blockIdx.y * op.rows_per_piece;
  const std::int64_t piece_end = piece_begin + op.rows_per_piece < op.rows ? piece_begin + op.rows_per_piece : op.rows;
  const std::int64_t begin = piece_begin + warp_id() * rows_per_warp;
  const std::int64_t end = begin + rows_per_warp < piece_end ? begin + rows_per_warp : piece_end;

  float dweight[kTaps][Width] = {};
  if (has_channels && begin < end) {
    Pack<T, Width> weight[kTaps] = {};
    load_weights(weight, op.weight + c, op.channels, op.taps);
    Window<Width> window;
    window.clear();
    float row[Width], inp[Width];
    std::int64_t t = (end - 1) % op.length;
    const std::int64_t after = op.length - 1 - t < op.taps ? op.length - 1 - t : op.taps;
    for (std::int64_t k = after; k > 0; --k) {
      load_row<T>(row, op.dout + (end - 1 + k) * op.channels + c);
      window.push(row);
    }
    for (std::int64_t r = end - 1; r >= begin; --r, --t) {
      if (t < 0) {
        t = op.length - 1;
        window.clear();
      }
      load_row<T>(row, op.dout + r * op.channels + c);
      load_row<T>(inp, op.inp + r * op.channels + c);
#pragma unroll
      for (int k = 0; k < kTaps; ++k) {
#pragma unroll
        for (int i = 0; i < Width; ++i) dweight[k][i] = fmaf(inp[i], window.rows[k][i], dweight[k][i]);
      }
      store_pack(op.dinp + r * op.channels + c, joined<T>(row, window, weight, op.taps));
      window.push(row);
    }
  }
  // --- The warps' sums, in order, one tap at a time ---
#pragma unroll
  for (int k = 0; k < kTaps; ++k) {
    if (k >= op.taps) break;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < Width; ++i) storage.sums[warp_id()][i * kWarpSize + lane_id()] = dweight[k][i];
    __syncthreads();
    if (warp_id() == 0 && has_channels) {
      float sums[Width];
#pragma unroll
      for (int i = 0; i < Width; ++i) sums[i] = storage.sums[0][i * kWarpSize + lane_id()];
#pragma unroll
      for (int w = 1; w < kRowWarps; ++w) {
#pragma unroll
        for (int i = 0; i < Width; ++i) sums[i] += storage.sums[w][i * kWarpSize + lane_id()];
      }
      store_floats(op.partials + (std::int64_t{blockIdx.y} * op.taps + k) * op.channels + c, sums);
    }
  }
}

template <typename T>
struct DecodeOperands {
  T* out;
  T* cache;
  const T* inp;
  const T* weight;
  std::int64_t new_rows;
  std::int64_t cache_length;
  std::int64_t channels;
  std::int64_t first_position;
  int taps;
};

/// Block (x, y) takes strip y of the channels of sequence x.
template <typename T, int Width>
__global__ __launch_bounds__(kDecodeThreads) void causal_conv_decode_kernel(DecodeOperands<T> op) {
  const std::int64_t c = (std::int64_t{blockIdx.y} * kDecodeThreads + threadIdx.x) * Width;
  if (c >= op.channels) return;
  Pack<T, Width> weight[kTaps] = {};
  load_weights(weight, op.weight + c, op.channels, op.taps);
  T* const cache = op.cache + (blockIdx.x * op.cache_length + op.first_position) * op.channels + c;
  const std::int64_t first = blockIdx.x * op.new_rows * op.channels + c;
  Window<Width> window;
  window.clear();
  float row[Width];
  for (std::int64_t before = op.first_position < op.taps ? op.first_position : op.taps; before > 0; --before) {
    load_row<T>(row, cache - before * op.channels);
    window.push(row);
  }
  for (std::int64_t r = 0; r < op.new_rows; ++r) {
    const Pack<T, Width> x = load_pack<T, Width>(op.inp + first + r * op.channels);
    store_pack(cache + r * op.channels, x);
#pragma unroll
    for (int i = 0; i < Width; ++i) row[i] = to_float(x[i]);
    store_pack(op.out + first + r * op.channels, joined<T>(row, window, weight, op.taps));
    window.push(row);
  }
}

/// Blocks of `threads` that cover the channels.
template <int Width>
unsigned strips(std::int64_t channels, int threads) {
  return blocks_for(channels, std::int64_t{threads} * Width);
}

}  // namespace

void causal_conv_forward(const LaunchContext& context, DType dtype, void* out, const void* inp, const void* weight,
                         const ConvShape& shape) {
  const std::int64_t rows = shape.batch * shape.length, channels = shape.channels;
  if (rows == 0) return;
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int kSize = Pack<T>::kSize;
    const ForwardOperands<T> op{.out = static_cast<T*>(out),
                                .inp = static_cast<const T*>(inp),
                                .weight = static_cast<const T*>(weight),
                                .rows = rows,
                                .length = shape.length,
                                .channels = channels,
                                .taps = static_cast<int>(shape.taps)};
    const bool packs = packs_fit<T>(channels, op.out, op.inp, op.weight);
    const dim3 grid(blocks_for(rows, kForwardRows),
                    packs ? strips<kSize>(channels, kForwardThreads) : strips<1>(channels, kForwardThreads));
    launch(context, grid, kForwardThreads, 0, packs ? causal_conv_forward_kernel<T, kSize> : causal_conv_forward_kernel<T, 1>,
           op);
  });
}

void causal_conv_backward(const LaunchContext& context, DType dtype, const ConvGradients& operands, const ConvShape& shape,
                          std::span<std::byte> workspace) {
  const std::int64_t rows = shape.batch * shape.length, channels = shape.channels;
  if (rows == 0) return;
  const std::int64_t pieces = ColumnPieces::count(rows);
  auto* partials = workspace_as<float>(workspace, pieces * shape.taps * channels);
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int kSize = Pack<T>::kSize;
    const BackwardOperands<T> op{.dinp = static_cast<T*>(operands.dinp),
                                 .partials = partials,
                                 .dout = static_cast<const T*>(operands.dout),
                                 .inp = static_cast<const T*>(operands.inp),
                                 .weight = static_cast<const T*>(operands.weight),
                                 .rows = rows,
                                 .length = shape.length,
                                 .channels = channels,
                                 .rows_per_piece = ColumnPieces::rows(rows),
                                 .taps = static_cast<int>(shape.taps)};
    const bool packs = packs_fit<T>(channels, op.dinp, op.dout, op.inp, op.weight, op.partials);
    const dim3 grid(packs ? strips<kSize>(channels, kWarpSize) : strips<1>(channels, kWarpSize), static_cast<unsigned>(pieces));
    launch(context, grid, kRowWarps * kWarpSize, 0,
           packs ? causal_conv_backward_kernel<T, kSize> : causal_conv_backward_kernel<T, 1>, op);
  });
  add_row_pieces(context, operands.dweight, nullptr, partials, pieces, shape.taps * channels);
}

void causal_conv_decode(const LaunchContext& context, DType dtype, void* out, const ConvCache& cache, const void* inp,
                        const void* weight, const ConvShape& shape) {
  if (shape.batch == 0 || shape.length == 0) return;
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int kSize = Pack<T>::kSize;
    const DecodeOperands<T> op{.out = static_cast<T*>(out),
                               .cache = static_cast<T*>(cache.rows),
                               .inp = static_cast<const T*>(inp),
                               .weight = static_cast<const T*>(weight),
                               .new_rows = shape.length,
                               .cache_length = cache.length,
                               .channels = shape.channels,
                               .first_position = cache.first_position,
                               .taps = static_cast<int>(shape.taps)};
    const bool packs = packs_fit<T>(shape.channels, op.out, op.cache, op.inp, op.weight);
    const dim3 grid(static_cast<unsigned>(shape.batch),
                    packs ? strips<kSize>(shape.channels, kDecodeThreads) : strips<1>(shape.channels, kDecodeThreads));
    launch(context, grid, kDecodeThreads, 0, packs ? causal_conv_decode_kernel<T, kSize> : causal_conv_decode_kernel<T, 1>, op);
  });
}

}  // namespace virgil::cuda
