// Causal attention, backward, on tensor cores; deterministic, without atomics.
//
// FlashAttention-2 (Dao 2023) recomputes the probabilities from lse, but lets blocks add to dq in the order in which they
// arrive. Here one pass owns tiles of keys and walks over queries (dk, dv), another owns tiles of queries and walks over keys
// (dq): seven products of tiles instead of five. Both passes are one kernel, as they mirror each other: with owned rows
// (a, b) = (k, v) or (q, dout) and visited rows (c, d) = (q, dout) or (k, v),
//   scores = a c^T, dprobabilities = b d^T, dscores = probabilities * (dprobabilities - delta),
//   da = dscores c, and for owned keys also dv = probabilities d.
// Keys that several query heads share visit the queries of one head after the other. Shared keys and windows have kernels of
// their own: what they add to the loops would cost the others registers that these need. Scores are laid out (owned, visited),
// so that their accumulators are the left operand of the products that follow: neither probabilities nor dscores leave the
// registers.
//
// Work for each head: T^2 / 2 scores, 7 * 2 HS operations each. Bytes: owned rows and gradients once, visited rows once for
// every owned tile, mostly from the L2 cache.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "cuda/kernels/attention_dropout.h"
#include "cuda/kernels/attention_problem.h"
#include "cuda/kernels/attention_tile.h"

namespace virgil::cuda {

namespace {

/// Which rows a block owns.
enum class Owned { kKeys, kQueries };

/// At most 96.5 KiB of shared memory and 255 registers for every head size, on every device since 8.0. Warps with two row tiles
/// use each operand from shared memory twice, but two accumulators of wide heads would not fit.
template <int HS, bool General>
struct BackwardShape {
  static constexpr int kRowTiles = HS <= 64 && !General ? 2 : 1;     // of a warp
  static constexpr int kWarps = kRowTiles == 2 || HS <= 32 ? 4 : 8;  // of narrow heads no more could copy the visited rows
  static constexpr int kThreads = kWarps * kWarpSize;
  static constexpr int kOwned = kWarps * kRowTiles * 16;
  static constexpr int kVisited = General && HS > 96 ? 16 : 32;  // rows of a step
  /// Blocks on a multiprocessor that the registers of the queries' pass shall allow.
  static constexpr int kQueriesBlocks = HS <= 80 && !General ? 2 : 1;
  static constexpr int kVisitedTiles = kVisited / 8;
};

template <typename T, int HS, bool General>
struct BackwardShared {
  using Shape = BackwardShape<HS, General>;
  struct Visited {
    T c[Shape::kVisited * HS];
    T d[Shape::kVisited * HS];
    alignas(16) RowStatistics statistics[Shape::kVisited];  // of owned keys' queries
  };
  T a[Shape::kOwned * HS];
  T b[Shape::kOwned * HS];
  Visited visited[2];
};

/// lse and delta belong to queries: to a lane's rows where queries are owned, to its columns where they are visited.
template <Owned Side, int RowTiles>
class LaneStatistics {
 public:
  __device__ __forceinline__ LaneStatistics(const RowStatistics* warp_rows) {
    if constexpr (Side == Owned::kQueries) {
#pragma unroll
      for (int m = 0; m < RowTiles; ++m) {
#pragma unroll
        for (int half = 0; half < 2; ++half) rows_[m][half] = warp_rows[16 * m + 8 * half + lane_id() / 4];
      }
    }
  }
  /// Of accumulator element i of tile (m, n).
  [[nodiscard]] __device__ __forceinline__ RowStatistics at(int m, int n, int i, const RowStatistics* visited) const {
    if constexpr (Side == Owned::kQueries) return rows_[m][i / 2];
    return visited[8 * n + 2 * (lane_id() % 4) + i % 2];
  }

 private:
  RowStatistics rows_[Side == Owned::kQueries ? RowTiles : 1][2];
};

/// Scores become the weights of dout (0 where dropped, without dropout's scale), gradients of probabilities those of scores.
/// `kept` is asked only when Drops.
template <bool Drops, typename Statistics, typename Kept, int NT>
__device__ __forceinline__ void softmax_backward(float (&scores)[NT][4], float (&gradients)[NT][4], float scale_log2,
                                                 float dropout_scale, const Statistics& statistics_at, const Kept& kept) {
#pragma unroll
  for (int n = 0; n < NT; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const RowStatistics statistics = statistics_at(n, i);
      const float probability = ptx::exp2_approx(fmaf(scores[n][i], scale_log2, -statistics.lse_log2));
      float weight = probability, gradient = gradients[n][i];
      if constexpr (Drops) {
        const bool is_kept = kept(n, i);
        weight = is_kept ? probability : 0.0F;
        gradient = is_kept ? gradient * dropout_scale : 0.0F;
      }
      scores[n][i] = weight;
      gradients[n][i] = probability * (gradient - statistics.delta);
    }
  }
}

/// General: query heads share keys and values, or see a window.
template <typename T, int HS, Owned Side, bool Drops, bool General>
__global__ void __launch_bounds__(BackwardShape<HS, General>::kThreads,
                                  Side == Owned::kQueries ? BackwardShape<HS, General>::kQueriesBlocks : 1)
    attention_backward_kernel(BackwardProblem p) {
  using Shape = BackwardShape<HS, General>;
  using Shared = BackwardShared<T, HS, General>;
  using Kept =
      std::conditional_t<Side == Owned::kKeys, KeptKeysInColumns<Shape::kVisitedTiles>, KeptKeysInRows<Shape::kVisitedTiles>>;
  constexpr bool kOwnsKeys = Side == Owned::kKeys;
  constexpr int kRowTiles = Shape::kRowTiles, kVisited = Shape::kVisited;
  auto& shared = *dynamic_smem<Shared>();
  const int b = static_cast<int>(blockIdx.z), owner = static_cast<int>(blockIdx.y);
  const int group = General ? p.group : 1, window = General ? p.window : p.length;
  const int kv_head = kOwnsKeys ? owner : owner / group;
  const int first_head = kOwnsKeys ? owner * group : owner, end_head = first_head + (kOwnsKeys ? group : 1);
  // The first keys are seen by the most queries, and the last queries see the most keys: those blocks start first.
  const int first_owned = static_cast<int>(kOwnsKeys ? blockIdx.x : gridDim.x - 1 - blockIdx.x) * Shape::kOwned;
  const int num_owned = min(Shape::kOwned, p.length - first_owned);
  const int first_visited = kOwnsKeys ? first_owned : General ? max(0, first_owned - window + 1) / kVisited * kVisited : 0;
  const int end_visited = !kOwnsKeys ? first_owned + num_owned
                          : General  ? min(p.length, first_owned + num_owned + window - 1)
                                     : p.length;

  const std::int64_t qkv_row = p.qkv_strides.row;
  const T* qkv = static_cast<const T*>(p.qkv);
  const T* k = qkv + p.keys_offset + p.qkv_strides.offset(b, kv_head);
  const T* v = qkv + p.values_offset + p.qkv_strides.offset(b, kv_head);
  const std::int64_t b_stride = kOwnsKeys ? qkv_row : p.out_strides.row, d_stride = kOwnsKeys ? p.out_strides.row : qkv_row;
  const int warp_row = warp_id() * 16 * kRowTiles, first_row = first_owned + warp_row;
  const SharedOperand<HS, T> a{shared.a, warp_row}, b_operand{shared.b, warp_row};
  float da[kRowTiles][HS / 8][4] = {};
  [[maybe_unused]] float dv[kRowTiles][HS / 8][4] = {};
  int h = first_head;
  do {  // once, unless keys are shared: as a loop it would cost registers
    const T* q = qkv + p.qkv_strides.offset(b, h);
    const T* dout = static_cast<const T*>(p.dout) + p.out_strides.offset(b, h);
    const RowStatistics* statistics =
        p.statistics + (static_cast<std::int64_t>(b) * p.num_heads + h) * p.padded_length;  // of this head
    if (h == first_head) {
      using OwnedReader = TileReader<T, HS, Shape::kOwned, Shape::kThreads>;
      OwnedReader((kOwnsKeys ? k : q) + first_owned * qkv_row, qkv_row, num_owned, p.head_size).next(shared.a);
      OwnedReader((kOwnsKeys ? v : dout) + first_owned * b_stride, b_stride, num_owned, p.head_size).next(shared.b);
    } else {
      __syncthreads();  // no warp uses the last head's rows any more
    }
    const int num_visited = end_visited - first_visited;
    using VisitedReader = TileReader<T, HS, kVisited, Shape::kThreads>;
    VisitedReader c_rows((kOwnsKeys ? q : k) + first_visited * qkv_row, qkv_row, num_visited, p.head_size);
    VisitedReader d_rows((kOwnsKeys ? dout : v) + first_visited * d_stride, d_stride, num_visited, p.head_size);
    const auto load_visited = [&](int stage, int first) {
      auto& to = shared.visited[stage];
      c_rows.next(to.c);
      d_rows.next(to.d);
      const int pair = static_cast<int>(threadIdx.x);
      if (kOwnsKeys && pair < kVisited / 2) ptx::cp_async_16(to.statistics + 2 * pair, statistics + first + 2 * pair);
      ptx::cp_async_commit();
    };
    load_visited(0, first_visited);

    const LaneStatistics<Side, kRowTiles> lane_statistics(statistics + first_row);
    int stage = 0;
    for (int first = first_visited; first < end_visited; first += kVisited, stage ^= 1) {
      ptx::cp_async_wait<0>();
      __syncthreads();  // this step's rows are there, and no warp uses the last step's any more
      if (first + kVisited < end_visited) load_visited(stage ^ 1, first + kVisited);
      const bool is_past = kOwnsKeys ? first + kVisited - 1 < first_row : first > first_row + 16 * kRowTiles - 1;
      if (is_past) continue;  // every key stands behind every query of this warp

      [[maybe_unused]] std::uint32_t drawn[kRowTiles];
      if constexpr (Drops) {
        const HeadDropout dropout(p.dropout, b, h, p.num_heads, p.length);
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) drawn[m] = Kept::draw(dropout, first_row + 16 * m, first);
      }

      // --- Scores and gradients of probabilities, (owned, visited)
      const auto& visited = shared.visited[stage];
      float scores[kRowTiles][Shape::kVisitedTiles][4], gradients[kRowTiles][Shape::kVisitedTiles][4];
      multiply_rows<T, HS>(scores, a, visited.c);
      if constexpr (General) {
        const int last_distance = kOwnsKeys ? first + kVisited - 1 - first_row : first_row + 16 * kRowTiles - 1 - first;
        const int first_distance = last_distance - (kVisited + 16 * kRowTiles - 2);  // of the nearest query and key
        const bool sees_all = first_distance >= 0 && last_distance < window;
        if (!sees_all) mask_unseen<!kOwnsKeys>(scores, first_row, first, window);
      } else {
        const bool has_future = kOwnsKeys ? first < first_row + 16 * kRowTiles - 1 : first + kVisited - 1 > first_row;
        if (has_future) mask_future<!kOwnsKeys>(scores, first_row, first);
      }
      multiply_rows<T, HS>(gradients, b_operand, visited.d);

      // --- Probabilities and gradients of scores
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        const auto statistics_at = [&](int n, int i) { return lane_statistics.at(m, n, i, visited.statistics); };
        if constexpr (Drops) {
          softmax_backward<true>(scores[m], gradients[m], p.scale_log2, p.dropout.scale, statistics_at, Kept(drawn[m]));
        } else {
          softmax_backward<false>(scores[m], gradients[m], p.scale_log2, 1.0F, statistics_at, 0);
        }
      }

      // --- Gradients of owned rows
      if constexpr (kOwnsKeys) accumulate_weighted<T, HS>(dv, scores, visited.d);
      accumulate_weighted<T, HS>(da, gradients, visited.c);
    }
  } while (General && kOwnsKeys && ++h < end_head);

  // --- Results
  T* dqkv = static_cast<T*>(p.dqkv) + p.qkv_strides.offset(b, owner) + first_owned * qkv_row;
  const auto store = [&](std::int64_t offset, T* tile, const auto& values, float factor) {
    float factors[kRowTiles][2];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) factors[m][0] = factors[m][1] = factor;
    store_rows<T, HS>(dqkv + offset, qkv_row, num_owned, p.head_size, tile, values, factors);
  };
  store(kOwnsKeys ? p.keys_offset : 0, shared.a, da, p.scale);
  if constexpr (kOwnsKeys) store(p.values_offset, shared.b, dv, Drops ? p.dropout.scale : 1.0F);
}

template <typename T, int HS, bool Drops, bool General>
void launch_backward(const LaunchContext& context, const BackwardProblem& problem) {
  using Shape = BackwardShape<HS, General>;
  constexpr std::size_t kSmem = sizeof(BackwardShared<T, HS, General>);
  const int tiles = (problem.length + Shape::kOwned - 1) / Shape::kOwned;
  const dim3 of_keys = attention_grid(tiles, problem.num_heads / problem.group, problem.batch);
  const dim3 of_queries = attention_grid(tiles, problem.num_heads, problem.batch);
  launch(context, of_keys, Shape::kThreads, kSmem, attention_backward_kernel<T, HS, Owned::kKeys, Drops, General>, problem);
  launch(context, of_queries, Shape::kThreads, kSmem, attention_backward_kernel<T, HS, Owned::kQueries, Drops, General>,
         problem);
}

template <typename T, int HS, bool Drops>
void launch_backward(const LaunchContext& context, const BackwardProblem& problem) {
  const bool is_general = problem.group > 1 || problem.window < problem.length;
  if (is_general) return launch_backward<T, HS, Drops, true>(context, problem);
  launch_backward<T, HS, Drops, false>(context, problem);
}

}  // namespace

void attention_backward_mma(const LaunchContext& context, DType dtype, const BackwardProblem& problem) {
  with_16_bit_type(dtype, [&]<typename T>(T) {
    with_padded_head_size(problem.head_size, [&]<int HS>(std::integral_constant<int, HS>) {
      if (problem.dropout.enabled) return launch_backward<T, HS, true>(context, problem);
      launch_backward<T, HS, false>(context, problem);
    });
  });
}

}  // namespace virgil::cuda
