// Causal attention, backward, in float32 arithmetic; deterministic. For whom: see attention_simt_forward.cu.
//
// The scheme of attention_backward.cu: one pass owns 32 keys and visits queries (dk, dv), one owns 32 queries and visits keys
// (dq), and the names are those of that file. Probabilities and dscores pass through shared memory, of which heads of 128 take
// 56 KiB.

#include <cstddef>
#include <cstdint>

#include "cuda/device/ptx.h"
#include "cuda/kernels/attention_dropout.h"
#include "cuda/kernels/attention_problem.h"
#include "cuda/kernels/attention_simt.h"

namespace virgil::cuda {

namespace {

using namespace simt_tile;

enum class Owned { kKeys, kQueries };

/// Rows of a step: fewer of wide heads, which take more shared memory.
template <int Quads>
constexpr int kVisited = Quads == 1 ? 32 : 16;

template <int Quads>
std::size_t smem_bytes(int head_size) {
  const int rows = 2 * (kRows + kVisited<Quads>)*row_floats(head_size), scores = 2 * kRows * row_floats(kVisited<Quads>);
  return sizeof(float) * static_cast<std::size_t>(rows + scores);
}

/// Blocks that a multiprocessor shall hold. Of wide heads its shared memory may hold two at most: registers for a third would
/// only make the compiler spill.
template <int Quads>
constexpr int kMinBlocks = Quads > 1 && kSmallSharedMemory ? 2 : 3;

template <typename T, int Quads, Owned Side>
__global__ void __launch_bounds__(kThreads, kMinBlocks<Quads>) attention_backward_simt_kernel(BackwardProblem p) {
  constexpr bool kOwnsKeys = Side == Owned::kKeys;
  constexpr int kCount = kVisited<Quads>, kColumns = kCount / kThreadsX;
  const int b = static_cast<int>(blockIdx.z), owner = static_cast<int>(blockIdx.y);
  const int kv_head = kOwnsKeys ? owner : owner / p.group;
  const int first_head = kOwnsKeys ? owner * p.group : owner, end_head = first_head + (kOwnsKeys ? p.group : 1);
  const int first_owned = static_cast<int>(kOwnsKeys ? blockIdx.x : gridDim.x - 1 - blockIdx.x) * kRows;  // long rows first
  const int num_owned = min(kRows, p.length - first_owned);
  const int first_visited = kOwnsKeys ? first_owned : max(0, first_owned - p.window + 1) / kCount * kCount;
  const int end_visited = kOwnsKeys ? min(p.length, first_owned + num_owned + p.window - 1) : first_owned + num_owned;

  const std::int64_t qkv_row = p.qkv_strides.row, dout_row = p.out_strides.row;
  const T* qkv = static_cast<const T*>(p.qkv);
  const T* k = qkv + p.keys_offset + p.qkv_strides.offset(b, kv_head);
  const T* v = qkv + p.values_offset + p.qkv_strides.offset(b, kv_head);

  auto* owned_a = dynamic_smem<float>();
  float* owned_b = owned_a + kRows * row_floats(p.head_size);
  float* visited_c = owned_b + kRows * row_floats(p.head_size);
  float* visited_d = visited_c + kCount * row_floats(p.head_size);
  float* weights = visited_d + kCount * row_floats(p.head_size);
  float* dscores = weights + kRows * row_floats(kCount);
  const std::int64_t b_row = kOwnsKeys ? qkv_row : dout_row, d_row = kOwnsKeys ? dout_row : qkv_row;
  float4 da[kRowsPerThread][Quads] = {};
  [[maybe_unused]] float4 dv[kRowsPerThread][Quads] = {};
  for (int h = first_head; h < end_head; ++h) {
    const T* q = qkv + p.qkv_strides.offset(b, h);
    const T* dout = static_cast<const T*>(p.dout) + p.out_strides.offset(b, h);
    const RowStatistics* statistics = p.statistics + (static_cast<std::int64_t>(b) * p.num_heads + h) * p.padded_length;
    if (h == first_head) {
      load_rows(owned_a, (kOwnsKeys ? k : q) + first_owned * qkv_row, qkv_row, kRows, num_owned, p.head_size);
      load_rows(owned_b, (kOwnsKeys ? v : dout) + first_owned * b_row, b_row, kRows, num_owned, p.head_size);
    }
    for (int first = first_visited; first < end_visited; first += kCount) {
      __syncthreads();  // nobody uses the last step's rows any more
      const int count = end_visited - first;
      load_rows(visited_c, (kOwnsKeys ? q : k) + first * qkv_row, qkv_row, kCount, count, p.head_size);
      load_rows(visited_d, (kOwnsKeys ? dout : v) + first * d_row, d_row, kCount, count, p.head_size);
      __syncthreads();

      // --- Scores and their gradients, (owned, visited)
      float scores[kRowsPerThread][kColumns], gradients[kRowsPerThread][kColumns];
      multiply_rows(scores, owned_a, visited_c, p.head_size);
      multiply_rows(gradients, owned_b, visited_d, p.head_size);
#pragma unroll
      for (int i = 0; i < kRowsPerThread; ++i) {
#pragma unroll
        for (int j = 0; j < kColumns; ++j) {
          const int row = first_thread_row() + i, column = thread_x() + kThreadsX * j;
          const int query = kOwnsKeys ? first + column : first_owned + row,
                    key = kOwnsKeys ? first_owned + row : first + column;
          const RowStatistics of_query = statistics[query];
          const float exponent = fmaf(scores[i][j], p.scale_log2, -of_query.lse_log2);
          const float probability = key > query || key <= query - p.window ? 0.0F : ptx::exp2_approx(exponent);
          float weight = probability, gradient = gradients[i][j];
          if (p.dropout.enabled) {
            // Made here: a dropout that lives through the loop costs registers that the products need.
            const HeadDropout dropout(p.dropout, b, h, p.num_heads, p.length);
            const bool is_kept = dropout.is_kept(query, key);
            weight = is_kept ? probability : 0.0F;
            gradient = is_kept ? gradient * p.dropout.scale : 0.0F;
          }
          if constexpr (kOwnsKeys) weights[row * row_floats(kCount) + column] = weight;
          dscores[row * row_floats(kCount) + column] = probability * (gradient - of_query.delta);
        }
      }
      __syncthreads();

      // --- Gradients of owned rows
      if constexpr (kOwnsKeys) accumulate_weighted(dv, weights, kCount, visited_d, p.head_size);
      accumulate_weighted(da, dscores, kCount, visited_c, p.head_size);
    }
  }

  // --- Results
  T* dqkv = static_cast<T*>(p.dqkv) + p.qkv_strides.offset(b, owner) + first_owned * qkv_row;
  const auto store = [&](std::int64_t offset, const auto& values, float factor) {
    const float factors[kRowsPerThread] = {factor, factor, factor, factor};
    store_rows(dqkv + offset, qkv_row, num_owned, p.head_size, values, factors);
  };
  store(kOwnsKeys ? p.keys_offset : 0, da, p.scale);
  if constexpr (kOwnsKeys) store(p.values_offset, dv, p.dropout.enabled ? p.dropout.scale : 1.0F);
}

template <typename T, int Quads>
void launch_backward(const LaunchContext& context, const BackwardProblem& problem) {
  const int tiles = (problem.length + kRows - 1) / kRows;
  const dim3 of_keys = attention_grid(tiles, problem.num_heads / problem.group, problem.batch);
  const dim3 of_queries = attention_grid(tiles, problem.num_heads, problem.batch);
  const std::size_t smem = smem_bytes<Quads>(problem.head_size);
  launch(context, of_keys, kThreads, smem, attention_backward_simt_kernel<T, Quads, Owned::kKeys>, problem);
  launch(context, of_queries, kThreads, smem, attention_backward_simt_kernel<T, Quads, Owned::kQueries>, problem);
}

}  // namespace

void attention_backward_simt(const LaunchContext& context, DType dtype, const BackwardProblem& problem) {
  with_device_type(dtype, [&]<typename T>(T) {
    if (problem.head_size <= 64) return launch_backward<T, 1>(context, problem);
    launch_backward<T, 2>(context, problem);
  });
}

}  // namespace virgil::cuda
