// The way back through the embeddings, without atomic additions of floats: the same inputs give the same bits.
//
// Rows are sorted by their token, stably, by a radix sort with digits of 8 bits, so that the rows of a token stand together in
// the order of their positions. A warp adds up to two chunks of rows of one token (for a strip of channels), the chunk's length
// following from the number of rows. Tokens with more rows leave a sum for each chunk, which a second kernel adds in order. So
// even a batch of one single token keeps the GPU busy, and the cost grows with the rows, not with the vocabulary.
//
// Floor: dout is read twice (for dwte and for dwpe); the rows of dwte that occur, and dwpe, are read and written.
#include <cstddef>
#include <cstdint>
#include <span>

#include "cuda/device/pack.h"
#include "cuda/device/random.h"
#include "cuda/kernels/embedding.h"
#include "cuda/kernels/piece_sizes.h"
#include "cuda/kernels/token_sort.h"

namespace virgil::cuda {

namespace {

constexpr int kWarps = 8;

std::int64_t chunk_size(std::int64_t rows) { return TokenChunks::rows(rows); }
std::int64_t num_slots(std::int64_t rows) { return TokenChunks::slots(rows); }

template <typename T>
struct Operands {
  float* dwte;
  float* dwpe;  // null: none
  const T* dout;
  const std::int32_t* tokens;
  EmbeddingSizes sizes;
  DeviceDropout dropout;
  TokenRuns runs;
  std::int64_t chunk;
  float* partials;  // (slots, C): sums of chunks
};

/// sums += channels c to c + Width - 1 of row `row`, taken back through the dropout.
template <typename T, int Width>
__device__ __forceinline__ void add_row(float (&sums)[Width], const Operands<T>& op, const DeviceDropout& dropout,
                                        std::int64_t row, std::int64_t c) {
  const std::int64_t C = op.sizes.channels;
  const Pack<T, Width> dout = load_pack<T, Width>(op.dout + row * C + c);
  if (dropout.enabled) {
    float factors[Width];
    const std::uint64_t base = dropout_row_base(dropout, row, op.sizes.length, C);
    dropout_factors_at<Width>(dropout, base + static_cast<std::uint64_t>(c), factors);
#pragma unroll
    for (int i = 0; i < Width; ++i) sums[i] = fmaf(to_float(dout[i]), factors[i], sums[i]);
  } else {
#pragma unroll
    for (int i = 0; i < Width; ++i) sums[i] += to_float(dout[i]);
  }
}

/// Channel of this thread's first element: lanes cover a strip, blockIdx.y counts strips.
template <int Width>
__device__ __forceinline__ std::int64_t first_channel() {
  return (std::int64_t{blockIdx.y} * kWarpSize + lane_id()) * Width;
}

/// One warp for each sorted row; those at the beginning of a chunk have work. A chunk that would be followed by less than a
/// chunk takes that too, so that every chunk of a longer run covers one multiple of the chunk size at least: the first is the
/// number of its partial sum.
template <typename T, int Width>
__global__ __launch_bounds__(kWarps* kWarpSize) void sum_chunks_kernel(Operands<T> op) {
  const std::int64_t C = op.sizes.channels;
  const std::int64_t i = std::int64_t{blockIdx.x} * kWarps + warp_id();
  const std::int64_t c = first_channel<Width>();
  if (i >= op.runs.rows || c >= C) return;
  const std::int64_t token = op.runs.key(op.runs.order[i]);
  if (token >= op.sizes.vocab_rows) return;
  const std::int64_t begin = op.runs.begins[token], end = op.runs.ends[token];
  const std::int64_t remaining = end - i;
  if ((i - begin) % op.chunk != 0 || (i > begin && remaining < op.chunk)) return;
  const std::int64_t length = remaining < 2 * op.chunk ? remaining : op.chunk;
  const bool whole_run = length == end - begin;
  float* out = whole_run ? op.dwte + token * C + c : op.partials + (i + op.chunk - 1) / op.chunk * C + c;
  float sums[Width] = {};
  if (whole_run) load_floats(sums, out);
  const DeviceDropout dropout = op.dropout.in_place();
#pragma unroll 4
  for (std::int64_t j = 0; j < length; ++j) add_row<T, Width>(sums, op, dropout, op.runs.order[i + j], c);
  store_floats(out, sums);
}

/// One warp for each partial sum; those of the first chunk of a run add the run's sums to dwte, in order.
template <typename T, int Width>
__global__ __launch_bounds__(kWarps* kWarpSize) void add_chunks_kernel(Operands<T> op) {
  const std::int64_t C = op.sizes.channels;
  const std::int64_t slot = std::int64_t{blockIdx.x} * kWarps + warp_id();
  const std::int64_t c = first_channel<Width>();
  if (slot * op.chunk >= op.runs.rows || c >= C) return;
  const std::int64_t token = op.runs.key(op.runs.order[slot * op.chunk]);
  if (token >= op.sizes.vocab_rows) return;
  const std::int64_t begin = op.runs.begins[token], length = op.runs.ends[token] - begin;
  if (length < 2 * op.chunk || (begin + op.chunk - 1) / op.chunk != slot) return;
  float* out = op.dwte + token * C + c;
  float sums[Width];
  load_floats(sums, out);
#pragma unroll 8
  for (std::int64_t j = 0; j < length / op.chunk; ++j) {
    float partial[Width];
    load_floats(partial, op.partials + (slot + j) * C + c);
#pragma unroll
    for (int k = 0; k < Width; ++k) sums[k] += partial[k];
  }
  store_floats(out, sums);
}

/// One warp for each position: its rows of all sequences, in order.
template <typename T, int Width>
__global__ __launch_bounds__(kWarps* kWarpSize) void sum_positions_kernel(Operands<T> op) {
  const std::int64_t C = op.sizes.channels, T_ = op.sizes.length;
  const std::int64_t t = std::int64_t{blockIdx.x} * kWarps + warp_id();
  const std::int64_t c = first_channel<Width>();
  if (t >= T_ || c >= C) return;
  float* out = op.dwpe + t * C + c;
  float sums[Width];
  load_floats(sums, out);
  const DeviceDropout dropout = op.dropout.in_place();
#pragma unroll 4
  for (std::int64_t b = 0; b < op.sizes.batch; ++b) add_row<T, Width>(sums, op, dropout, b * T_ + t, c);
  store_floats(out, sums);
}

template <typename T, int Width>
void launch_backward(const LaunchContext& context, const Operands<T>& op) {
  constexpr int kThreads = kWarps * kWarpSize;
  const unsigned strips = blocks_for(op.sizes.channels, kWarpSize * Width);
  const auto grid = [&](std::int64_t warps) { return dim3(blocks_for(warps, kWarps), strips); };
  launch(context, grid(op.runs.rows), kThreads, 0, sum_chunks_kernel<T, Width>, op);
  if (op.runs.rows >= 2 * op.chunk) {
    launch(context, grid(num_slots(op.runs.rows)), kThreads, 0, add_chunks_kernel<T, Width>, op);
  }
  if (op.dwpe != nullptr) launch(context, grid(op.sizes.length), kThreads, 0, sum_positions_kernel<T, Width>, op);
}

}  // namespace

void embedding_backward(const LaunchContext& context, DType dtype, float* dwte, float* dwpe, const void* dout,
                        const std::int32_t* tokens, const EmbeddingSizes& sizes, const Dropout& dropout,
                        std::span<std::byte> workspace) {
  const std::int64_t rows = sizes.batch * sizes.length;
  if (rows == 0 || sizes.channels == 0) return;
  const std::int64_t num_partials = num_slots(rows) * sizes.channels;
  auto* partials = workspace_as<float>(workspace, num_partials);
  const auto rest = workspace.subspan(static_cast<std::size_t>(num_partials) * sizeof(float));
  const TokenRuns runs = sort_tokens(context, tokens, rows, sizes.vocab_rows, rest);
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    const Operands<T> op{
        .dwte = dwte,
        .dwpe = dwpe,
        .dout = static_cast<const T*>(dout),
        .tokens = tokens,
        .sizes = sizes,
        .dropout = DeviceDropout(dropout, context.place),
        .runs = runs,
        .chunk = chunk_size(rows),
        .partials = partials,
    };
    if (packs_fit<T>(sizes.channels, op.dout, op.dwte, op.dwpe, op.partials)) {
      launch_backward<T, Pack<T>::kSize>(context, op);
    } else {
      launch_backward<T, 1>(context, op);
    }
  });
}

}  // namespace virgil::cuda
