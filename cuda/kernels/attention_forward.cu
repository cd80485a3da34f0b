// Causal attention, forward, on tensor cores.
//
// The scheme is that of FlashAttention-2 (Dao 2023): a block owns a tile of queries and walks over the tiles of keys up to its
// diagonal with an online softmax, so that no score leaves the registers. Each warp owns whole rows, and needs no other warp
// for its softmax. V's tile travels while the scores are computed, the next K's tile while these weigh V.
//
// Work for each head: T^2 / 2 scores, 4 HS operations each, and T^2 / 2 exponentials. Bytes: q and out once, k and v once for
// every tile of queries, mostly from the L2 cache.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "cuda/kernels/attention_dropout.h"
#include "cuda/kernels/attention_problem.h"
#include "cuda/kernels/attention_tile.h"

namespace virgil::cuda {

namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kKeys = 64;  // of a tile
constexpr int kKeyTiles = kKeys / 8;

/// Row tiles of 16 queries a warp has: two use each operand from shared memory twice. Heads of 128 with two fill 64 KiB and all
/// registers: they need the shared memory of an A100 or H100 for two blocks, and leave no registers for dropout.
int forward_row_tiles(int padded_head_size, bool drops, const LaunchContext& context) {
  constexpr int kTwoLargeBlocks = 2 * 64 * 1024;
  return padded_head_size > 96 && (drops || context.max_smem_per_block < kTwoLargeBlocks) ? 1 : 2;
}

template <int HS, int RowTiles>
struct ForwardShape {
  static constexpr int kRows = kWarps * 16 * RowTiles;
  static constexpr bool kQueriesInRegisters = HS <= 64;
};

template <typename T, int HS, int RowTiles>
struct ForwardShared {
  T queries[ForwardShape<HS, RowTiles>::kRows * HS];
  T keys[kKeys * HS];
  T values[kKeys * HS];
};

/// Running statistics of a lane's rows: g and g + 8 of each 16.
template <int RowTiles>
struct SoftmaxState {
  float max[RowTiles][2];  // of score * scale_log2
  float sum[RowTiles][2];  // of this lane's columns

  __device__ __forceinline__ SoftmaxState() {
#pragma unroll
    for (int m = 0; m < RowTiles; ++m) {
      max[m][0] = max[m][1] = kNoScore;
      sum[m][0] = sum[m][1] = 0;
    }
  }
};

/// Scores become weights 2^(score - max); what was summed before is scaled to the new maximum.
template <int RowTiles, int NT, int HeadTiles>
__device__ __forceinline__ void online_softmax(float (&scores)[RowTiles][NT][4], SoftmaxState<RowTiles>& state,
                                               float (&out)[RowTiles][HeadTiles][4], float scale_log2) {
#pragma unroll
  for (int m = 0; m < RowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float largest = scores[m][0][2 * half];
#pragma unroll
      for (int n = 0; n < NT; ++n) largest = fmaxf(largest, fmaxf(scores[m][n][2 * half], scores[m][n][2 * half + 1]));
      largest = fmaxf(largest, __shfl_xor_sync(kFullMask, largest, 1));
      largest = fmaxf(largest, __shfl_xor_sync(kFullMask, largest, 2));
      const float max = fmaxf(state.max[m][half], largest * scale_log2);
      const float correction = ptx::exp2_approx(state.max[m][half] - max);
      state.max[m][half] = max;
      float sum = state.sum[m][half] * correction;
#pragma unroll
      for (int n = 0; n < NT; ++n) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          scores[m][n][i] = ptx::exp2_approx(fmaf(scores[m][n][i], scale_log2, -max));
          sum += scores[m][n][i];
        }
      }
      state.sum[m][half] = sum;
#pragma unroll
      for (int n = 0; n < HeadTiles; ++n) {
        out[m][n][2 * half] *= correction;
        out[m][n][2 * half + 1] *= correction;
      }
    }
  }
}

template <int RowTiles, int NT>
__device__ __forceinline__ void drop_weights(float (&weights)[RowTiles][NT][4], const std::uint32_t (&drawn)[RowTiles]) {
#pragma unroll
  for (int m = 0; m < RowTiles; ++m) {
    const KeptKeysInRows<NT> kept(drawn[m]);
#pragma unroll
    for (int n = 0; n < NT; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (!kept(n, i)) weights[m][n][i] = 0;
      }
    }
  }
}

template <typename T, int HS, int RowTiles, bool Drops>
__global__ void __launch_bounds__(kThreads, 2) attention_forward_kernel(ForwardProblem p) {
  using Shape = ForwardShape<HS, RowTiles>;
  auto& shared = *dynamic_smem<ForwardShared<T, HS, RowTiles>>();
  const int b = static_cast<int>(blockIdx.z), h = static_cast<int>(blockIdx.y);
  // The last queries see the most keys: their blocks start first, and short ones fill the end.
  const int first_row = static_cast<int>(gridDim.x - 1 - blockIdx.x) * Shape::kRows;
  const int num_rows = min(Shape::kRows, p.rows - first_row);
  // Of the keys that some query sees; the first ones, as no query sees them, are left out by whole tiles.
  const int begin_key = max(0, p.first_position + first_row - p.window + 1) / kKeys * kKeys;
  const int num_keys = p.first_position + first_row + num_rows;
  const T* q = static_cast<const T*>(p.q) + p.q_strides.offset(b, h) + first_row * p.q_strides.row;
  const T* k = static_cast<const T*>(p.k) + p.kv_strides.offset(b, h / p.group);
  const T* v = static_cast<const T*>(p.v) + p.kv_strides.offset(b, h / p.group);
  const int warp_row = warp_id() * 16 * RowTiles;
  const int warp_position = p.first_position + first_row + warp_row;

  TileReader<T, HS, Shape::kRows, kThreads>(q, p.q_strides.row, num_rows, p.head_size).next(shared.queries);
  const std::int64_t begin_row = begin_key * p.kv_strides.row;
  TileReader<T, HS, kKeys, kThreads> keys(k + begin_row, p.kv_strides.row, num_keys - begin_key, p.head_size);
  TileReader<T, HS, kKeys, kThreads> values(v + begin_row, p.kv_strides.row, num_keys - begin_key, p.head_size);
  keys.next(shared.keys);
  ptx::cp_async_commit();

  const SharedOperand<HS, T> shared_queries{shared.queries, warp_row};
  [[maybe_unused]] RegisterOperand<HS, RowTiles> queries;
  SoftmaxState<RowTiles> state;
  float out[RowTiles][HS / 8][4] = {};
  for (int first_key = begin_key; first_key < num_keys; first_key += kKeys) {
    // --- Scores
    ptx::cp_async_wait<0>();
    __syncthreads();  // K's tile is there, and no warp uses the last V's tile any more
    values.next(shared.values);
    ptx::cp_async_commit();
    const bool sees_tile = first_key <= warp_position + 16 * RowTiles - 1;
    float scores[RowTiles][kKeyTiles][4];
    if (sees_tile) {
      [[maybe_unused]] std::uint32_t drawn[RowTiles];
      if constexpr (Drops) {
        const HeadDropout dropout(p.dropout, b, h, p.num_heads, p.rows);
#pragma unroll
        for (int m = 0; m < RowTiles; ++m) {
          drawn[m] = KeptKeysInRows<kKeyTiles>::draw(dropout, warp_position + 16 * m, first_key);
        }
      }
      if constexpr (Shape::kQueriesInRegisters) {
        if (first_key == begin_key) queries.load(shared_queries);
        multiply_rows<T, HS>(scores, queries, shared.keys);
      } else {
        multiply_rows<T, HS>(scores, shared_queries, shared.keys);
      }
      const bool sees_all = first_key + kKeys - 1 <= warp_position && first_key > warp_position + 16 * RowTiles - 1 - p.window;
      if (!sees_all) mask_unseen<true>(scores, warp_position, first_key, p.window);
      online_softmax(scores, state, out, p.scale_log2);
      if constexpr (Drops) drop_weights(scores, drawn);
    }

    // --- Weighted values
    ptx::cp_async_wait<0>();
    __syncthreads();  // V's tile is there, and no warp uses K's tile any more
    if (first_key + kKeys < num_keys) keys.next(shared.keys);
    ptx::cp_async_commit();
    if (sees_tile) accumulate_weighted<T, HS>(out, scores, shared.values);
  }

  // --- Results
  float factors[RowTiles][2];
#pragma unroll
  for (int m = 0; m < RowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = state.sum[m][half];
      sum += __shfl_xor_sync(kFullMask, sum, 1);
      sum += __shfl_xor_sync(kFullMask, sum, 2);
      factors[m][half] = (Drops ? p.dropout.scale : 1.0F) / sum;
      const int row = warp_row + 16 * m + 8 * half + lane_id() / 4;
      if (p.lse != nullptr && row < num_rows && lane_id() % 4 == 0) {
        const std::int64_t head = static_cast<std::int64_t>(b) * p.num_heads + h;
        p.lse[head * p.rows + first_row + row] = fmaf(state.max[m][half], kLn2, logf(sum));
      }
    }
  }
  T* rows = static_cast<T*>(p.out) + p.out_strides.offset(b, h) + first_row * p.out_strides.row;
  store_rows<T, HS>(rows, p.out_strides.row, num_rows, p.head_size, shared.queries, out, factors);
}

template <typename T, int HS, int RowTiles, bool Drops>
void launch_forward(const LaunchContext& context, const ForwardProblem& problem) {
  constexpr int kRows = ForwardShape<HS, RowTiles>::kRows;
  const dim3 grid = attention_grid((problem.rows + kRows - 1) / kRows, problem.num_heads, problem.batch);
  constexpr std::size_t kSmem = sizeof(ForwardShared<T, HS, RowTiles>);
  launch(context, grid, kThreads, kSmem, attention_forward_kernel<T, HS, RowTiles, Drops>, problem);
}

}  // namespace

void attention_forward_mma(const LaunchContext& context, DType dtype, const ForwardProblem& problem) {
  with_16_bit_type(dtype, [&]<typename T>(T) {
    with_padded_head_size(problem.head_size, [&]<int HS>(std::integral_constant<int, HS>) {
      const bool drops = problem.dropout.enabled;
      const int row_tiles = forward_row_tiles(HS, drops, context);
      if constexpr (HS > 96) {
        if (drops) return launch_forward<T, HS, 1, true>(context, problem);
        if (row_tiles == 1) return launch_forward<T, HS, 1, false>(context, problem);
      } else {
        if (drops) return launch_forward<T, HS, 2, true>(context, problem);
      }
      launch_forward<T, HS, 2, false>(context, problem);
    });
  });
}

}  // namespace virgil::cuda
