// Attention of generation: a few new rows attend to a cache of keys and values, and join it.
//
// With few new rows the time is that of reading the cache once, so that many blocks must read at a time: the positions are cut
// into splits of a fixed size, a block computes the softmax of one split for one row, and a second kernel joins the splits
// ("Flash-Decoding", Dao and others 2023). Splits and the order in which they are joined depend on positions only, never on
// the device. With many new rows (a prompt) the kernels of the forward pass read the cache instead.
//
// Work for each row and head: 4 HS operations a position. Bytes: HS elements of k and v a position.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "cuda/device/pack.h"
#include "cuda/device/ptx.h"
#include "cuda/device/reduce.h"
#include "cuda/kernels/attention.h"
#include "cuda/kernels/attention_problem.h"
#include "cuda/kernels/piece_sizes.h"

namespace virgil::cuda {

namespace {

constexpr int kSplit = DecodeSplits::kPositions;
constexpr int kMaxHeadSize = 128;  // threads of a block that joins splits
constexpr int kManyRows = DecodeSplits::kManyRows;
constexpr int kChannelsPerLane = 8;  // head sizes are multiples of it

std::int64_t num_splits(std::int64_t positions) { return DecodeSplits::count(positions); }

/// What a split leaves: sum of weights * v, relative to the split's largest score.
struct PartialLayout {
  static constexpr int kMax = 0, kSum = 1, kValues = DecodeSplits::kStatistics;
  [[nodiscard]] __host__ __device__ static std::int64_t floats(std::int64_t head_size) { return kValues + head_size; }
};

/// All splits of `rows` new rows, the last of which sees `positions`.
std::int64_t num_partial_floats(const AttentionSizes& sizes, std::int64_t rows, std::int64_t positions) {
  return sizes.batch * sizes.num_heads * rows * num_splits(positions) * PartialLayout::floats(sizes.head_size);
}

struct DecodeProblem {
  void* out = nullptr;        // (S, n, C)
  void* k_cache = nullptr;    // (S, NKV, L, HS)
  void* v_cache = nullptr;    // (S, NKV, L, HS)
  const void* qkv = nullptr;  // (S, n, C + 2 NKV HS)
  float* partials = nullptr;  // (S, NH, n, splits, 2 + HS)
  HeadStrides out_strides, qkv_strides, cache_strides;
  std::int64_t keys_offset = 0, values_offset = 0;  // in a row of qkv
  int num_heads = 0;                                // of queries
  int group = 1;                                    // of them to a head of keys and values
  int head_size = 0;
  int rows = 0;
  int first_position = 0;
  int window = 0;       // window_of()
  int first_split = 0;  // of the first row's window
  int splits = 0;       // from that one on
  float scale_log2 = 0;
};

/// Keys or values of one head: those of new rows lie in qkv, so that no block waits for them to reach the cache.
template <typename T>
struct CachedRows {
  const T* cache;
  const T* fresh;
  std::int64_t cache_row, fresh_row;
  int first_position;

  [[nodiscard]] __device__ __forceinline__ const T* at(int position) const {
    return position < first_position ? cache + position * cache_row : fresh + (position - first_position) * fresh_row;
  }
};

template <typename T>
__device__ __forceinline__ void load_channels(float (&values)[kChannelsPerLane], const T* address) {
#pragma unroll
  for (int i = 0; i < kChannelsPerLane; i += Pack<T>::kSize) {
    const Pack<T> pack = load_pack(address + i);
#pragma unroll
    for (int j = 0; j < Pack<T>::kSize; ++j) values[i + j] = to_float(pack[j]);
  }
}

template <typename T>
__device__ __forceinline__ void store_result(const DecodeProblem& p, int s, int h, int row, int channel, float value) {
  T* out = static_cast<T*>(p.out) + p.out_strides.offset(s, h) + row * p.out_strides.row;
  out[channel] = from_float<T>(value);
}

struct DecodeShared {
  float weights[kSplit];
  float sums[kSplit][kChannelsPerLane + 1];  // of each thread's positions; one more: neighbours use different banks
  BlockReduceStorage<float, kSplit> reduce;
};

/// `Lanes` neighbouring lanes share a position, eight channels each: a power of two of at least HS / 8.
template <typename T, int Lanes>
__global__ void __launch_bounds__(kSplit, 6) attention_decode_kernel(DecodeProblem p) {
  auto& shared = static_smem<DecodeShared>();
  constexpr int kAtOnce = kSplit / Lanes;  // positions
  const int s = static_cast<int>(blockIdx.z), h = static_cast<int>(blockIdx.y);
  const int row = static_cast<int>(blockIdx.x) / p.splits;
  const int split = p.first_split + static_cast<int>(blockIdx.x) % p.splits;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % Lanes, channel = lane * kChannelsPerLane;
  const int position_of_row = p.first_position + row;
  const int begin = max(split * kSplit, position_of_row - p.window + 1);
  const int count = min((split + 1) * kSplit, position_of_row + 1) - begin;
  if (count <= 0) return;  // the whole block: this row is older than the split, or its window has left it

  const int kv_head = h / p.group;
  const std::int64_t at_cache = p.cache_strides.offset(s, kv_head);
  const T* qkv = static_cast<const T*>(p.qkv);
  const T* q = qkv + p.qkv_strides.offset(s, h);
  const T* fresh = qkv + p.qkv_strides.offset(s, kv_head);
  T *k_cache = static_cast<T*>(p.k_cache) + at_cache, *v_cache = static_cast<T*>(p.v_cache) + at_cache;
  const CachedRows<T> keys{k_cache, fresh + p.keys_offset, p.cache_strides.row, p.qkv_strides.row, p.first_position};
  const CachedRows<T> values{v_cache, fresh + p.values_offset, p.cache_strides.row, p.qkv_strides.row, p.first_position};
  const bool has_channels = channel < p.head_size;

  // --- The row's own k and v join the cache; blocks of this launch read them from qkv
  if (h % p.group == 0 && split == (p.first_position + row) / kSplit && thread < p.head_size) {
    const std::int64_t to = (p.first_position + row) * p.cache_strides.row + thread;
    k_cache[to] = keys.at(p.first_position + row)[thread];
    v_cache[to] = values.at(p.first_position + row)[thread];
  }

  // --- Scores, in base 2
  float query[kChannelsPerLane] = {};
  if (has_channels) load_channels(query, q + row * p.qkv_strides.row + channel);
#pragma unroll 4
  for (int first = 0; first < count; first += kAtOnce) {
    const int position = first + thread / Lanes;
    float key[kChannelsPerLane] = {};
    if (has_channels && position < count) load_channels(key, keys.at(begin + position) + channel);
    float score = 0;
#pragma unroll
    for (int i = 0; i < kChannelsPerLane; ++i) score = fmaf(query[i], key[i], score);
#pragma unroll
    for (int offset = Lanes / 2; offset > 0; offset /= 2) score += __shfl_xor_sync(kFullMask, score, offset);
    if (lane == 0 && position < count) shared.weights[position] = score;
  }
  __syncthreads();

  // --- Weights: a thread, a position
  const float score = thread < count ? shared.weights[thread] : -INFINITY;
  const float max = block_max<kSplit>(score, shared.reduce) * p.scale_log2;
  const float weight = ptx::exp2_approx(fmaf(score, p.scale_log2, -max));
  const float sum = block_sum<kSplit>(weight, shared.reduce);
  shared.weights[thread] = weight;
  __syncthreads();

  // --- Weighted values
  float sums[kChannelsPerLane] = {};
#pragma unroll 4
  for (int position = thread / Lanes; has_channels && position < count; position += kAtOnce) {
    float value[kChannelsPerLane];
    load_channels(value, values.at(begin + position) + channel);
#pragma unroll
    for (int i = 0; i < kChannelsPerLane; ++i) sums[i] = fmaf(shared.weights[position], value[i], sums[i]);
  }
#pragma unroll
  for (int i = 0; i < kChannelsPerLane; ++i) shared.sums[thread][i] = sums[i];
  __syncthreads();
  if (thread >= p.head_size) return;
  float total = 0;
  for (int group = 0; group < kAtOnce; ++group) {
    total += shared.sums[group * Lanes + thread / kChannelsPerLane][thread % kChannelsPerLane];
  }

  // --- Results
  if (p.splits == 1) return store_result<T>(p, s, h, row, thread, total / sum);
  const std::int64_t head = static_cast<std::int64_t>(s) * p.num_heads + h;
  float* partial = p.partials + ((head * p.rows + row) * p.splits + split - p.first_split) * PartialLayout::floats(p.head_size);
  partial[PartialLayout::kValues + thread] = total;
  if (thread == 0) {
    partial[PartialLayout::kMax] = max;
    partial[PartialLayout::kSum] = sum;
  }
}

/// Joins a row's splits: a thread, a channel.
template <typename T>
__global__ void __launch_bounds__(kMaxHeadSize) attention_decode_join_kernel(DecodeProblem p) {
  const int s = static_cast<int>(blockIdx.z), h = static_cast<int>(blockIdx.y), row = static_cast<int>(blockIdx.x);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread >= p.head_size) return;
  const int begin = max(0, p.first_position + row - p.window + 1) / kSplit - p.first_split;
  const int end = (p.first_position + row) / kSplit + 1 - p.first_split;
  const std::int64_t floats = PartialLayout::floats(p.head_size);
  const std::int64_t head = static_cast<std::int64_t>(s) * p.num_heads + h;
  const float* partials = p.partials + (head * p.rows + row) * p.splits * floats;
  float largest = -INFINITY;
  for (int i = begin; i < end; ++i) largest = fmaxf(largest, partials[i * floats + PartialLayout::kMax]);
  float sum = 0, total = 0;
  for (int i = begin; i < end; ++i) {
    const float* partial = partials + i * floats;
    const float correction = ptx::exp2_approx(partial[PartialLayout::kMax] - largest);
    sum = fmaf(partial[PartialLayout::kSum], correction, sum);
    total = fmaf(partial[PartialLayout::kValues + thread], correction, total);
  }
  store_result<T>(p, s, h, row, thread, total / sum);
}

/// Copies the new rows' k and v into the caches: a thread, a channel of both.
template <typename T>
__global__ void __launch_bounds__(kMaxHeadSize) attention_append_kernel(DecodeProblem p) {
  const int s = static_cast<int>(blockIdx.z), h = static_cast<int>(blockIdx.y), row = static_cast<int>(blockIdx.x);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread >= p.head_size) return;
  const T* from = static_cast<const T*>(p.qkv) + p.qkv_strides.offset(s, h) + row * p.qkv_strides.row + thread;
  const std::int64_t to = p.cache_strides.offset(s, h) + (p.first_position + row) * p.cache_strides.row + thread;
  static_cast<T*>(p.k_cache)[to] = from[p.keys_offset];
  static_cast<T*>(p.v_cache)[to] = from[p.values_offset];
}

template <typename T>
void launch_few_rows(const LaunchContext& context, const DecodeProblem& p, std::int64_t batch) {
  const dim3 grid = attention_grid(static_cast<std::int64_t>(p.rows) * p.splits, p.num_heads, batch);
  if (p.head_size <= 32) {
    launch(context, grid, kSplit, 0, attention_decode_kernel<T, 4>, p);
  } else if (p.head_size <= 64) {
    launch(context, grid, kSplit, 0, attention_decode_kernel<T, 8>, p);
  } else {
    launch(context, grid, kSplit, 0, attention_decode_kernel<T, 16>, p);
  }
  if (p.splits > 1) {
    launch(context, attention_grid(p.rows, p.num_heads, batch), kMaxHeadSize, 0, attention_decode_join_kernel<T>, p);
  }
}

}  // namespace

void attention_decode(const LaunchContext& context, const AttentionSizes& sizes, const AttentionDecode& operands,
                      std::span<std::byte> workspace) {
  const auto [S, L, NH, NKV, HS, dtype, window] = sizes;
  const std::int64_t n = operands.new_rows;
  const std::int64_t num_floats = n < kManyRows ? num_partial_floats(sizes, n, operands.first_position + n) : 0;
  const int visible = window_of(window, operands.first_position + n);
  const int first_split = static_cast<int>(std::max<std::int64_t>(0, operands.first_position - visible + 1)) / kSplit;
  const DecodeProblem problem{.out = operands.out,
                              .k_cache = operands.k_cache,
                              .v_cache = operands.v_cache,
                              .qkv = operands.qkv,
                              .partials = workspace_as<float>(workspace, num_floats),
                              .out_strides = row_strides(n, sizes.channels(), HS),
                              .qkv_strides = row_strides(n, sizes.qkv_width(), HS),
                              .cache_strides = cache_strides(L, NKV, HS),
                              .keys_offset = sizes.keys_offset(),
                              .values_offset = sizes.values_offset(),
                              .num_heads = static_cast<int>(NH),
                              .group = static_cast<int>(sizes.group()),
                              .head_size = static_cast<int>(HS),
                              .rows = static_cast<int>(n),
                              .first_position = static_cast<int>(operands.first_position),
                              .window = visible,
                              .first_split = first_split,
                              .splits = static_cast<int>(num_splits(operands.first_position + n)) - first_split,
                              .scale_log2 = attention_scale_log2(HS)};
  if (n < kManyRows) {
    return with_device_type(dtype, [&, S = S]<typename T>(T) { launch_few_rows<T>(context, problem, S); });
  }
  with_device_type(dtype, [&, S = S, NKV = NKV]<typename T>(T) {
    launch(context, attention_grid(problem.rows, NKV, S), kMaxHeadSize, 0, attention_append_kernel<T>, problem);
  });
  attention_forward(context, dtype,
                    {.out = operands.out,
                     .q = operands.qkv,
                     .k = operands.k_cache,
                     .v = operands.v_cache,
                     .out_strides = problem.out_strides,
                     .q_strides = problem.qkv_strides,
                     .kv_strides = problem.cache_strides,
                     .batch = S,
                     .num_heads = problem.num_heads,
                     .group = problem.group,
                     .head_size = problem.head_size,
                     .rows = problem.rows,
                     .first_position = problem.first_position,
                     .window = problem.window,
                     .scale_log2 = problem.scale_log2,
                     .dropout = {}});
}

}  // namespace virgil::cuda
