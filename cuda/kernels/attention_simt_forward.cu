// Causal attention, forward, in float32 arithmetic: for float32 tensors, whose precision tensor cores do not have, and for
// every type where there are none that multiply 16-bit tiles asynchronously copied (before 8.0).
//
// The scheme of attention_forward.cu with one thread block for 32 queries; keys and values take turns in one buffer, so that
// heads of 128 fit into 58 KiB, which every device has. Weights pass through shared memory.

#include <cstddef>
#include <cstdint>

#include "cuda/device/ptx.h"
#include "cuda/kernels/attention_dropout.h"
#include "cuda/kernels/attention_problem.h"
#include "cuda/kernels/attention_simt.h"

namespace virgil::cuda {

namespace {

using namespace simt_tile;

constexpr int kKeys = 64;
constexpr int kKeysPerThread = kKeys / kThreadsX;

std::size_t smem_bytes(int head_size) {
  return sizeof(float) * static_cast<std::size_t>((kRows + kKeys) * row_floats(head_size) + kRows * row_floats(kKeys));
}

/// Over the 16 threads that share rows, which are half a warp.
__device__ __forceinline__ float row_max(float value) {
#pragma unroll
  for (int offset = kThreadsX / 2; offset > 0; offset /= 2) value = fmaxf(value, __shfl_xor_sync(kFullMask, value, offset));
  return value;
}
__device__ __forceinline__ float row_sum(float value) {
#pragma unroll
  for (int offset = kThreadsX / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kFullMask, value, offset);
  return value;
}

template <typename T, int Quads>
__global__ void __launch_bounds__(kThreads, 4) attention_forward_simt_kernel(ForwardProblem p) {
  const int b = static_cast<int>(blockIdx.z), h = static_cast<int>(blockIdx.y);
  const int first_row = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kRows;  // long rows first
  const int num_rows = min(kRows, p.rows - first_row);
  const int num_keys = p.first_position + first_row + num_rows;
  const T* q = static_cast<const T*>(p.q) + p.q_strides.offset(b, h) + first_row * p.q_strides.row;
  const T* k = static_cast<const T*>(p.k) + p.kv_strides.offset(b, h / p.group);
  const T* v = static_cast<const T*>(p.v) + p.kv_strides.offset(b, h / p.group);
  auto* queries = dynamic_smem<float>();
  float* keys = queries + kRows * row_floats(p.head_size);  // then values
  float* weights = keys + kKeys * row_floats(p.head_size);
  load_rows(queries, q, p.q_strides.row, kRows, num_rows, p.head_size);

  const HeadDropout dropout(p.dropout, b, h, p.num_heads, p.rows);
  const int thread_position = p.first_position + first_row + first_thread_row();
  float max[kRowsPerThread], sum[kRowsPerThread];  // max of score * scale_log2; sum of this thread's weights
  float4 out[kRowsPerThread][Quads] = {};
#pragma unroll
  for (int i = 0; i < kRowsPerThread; ++i) {
    max[i] = kNoScore;
    sum[i] = 0;
  }
  const int begin_key = ::max(0, p.first_position + first_row - p.window + 1) / kKeys * kKeys;
  for (int first_key = begin_key; first_key < num_keys; first_key += kKeys) {
    // --- Scores
    __syncthreads();  // nobody uses the last values and weights any more
    const std::int64_t at = first_key * p.kv_strides.row;
    load_rows(keys, k + at, p.kv_strides.row, kKeys, num_keys - first_key, p.head_size);
    __syncthreads();
    float scores[kRowsPerThread][kKeysPerThread];
    multiply_rows(scores, queries, keys, p.head_size);

    // --- Online softmax
#pragma unroll
    for (int i = 0; i < kRowsPerThread; ++i) {
      float largest = -INFINITY;
#pragma unroll
      for (int j = 0; j < kKeysPerThread; ++j) {
        const int ahead = first_key + thread_x() + kThreadsX * j - (thread_position + i);  // of the query
        if (ahead > 0 || ahead <= -p.window) scores[i][j] = -INFINITY;
        largest = fmaxf(largest, scores[i][j]);
      }
      const float new_max = fmaxf(max[i], row_max(largest) * p.scale_log2);
      const float correction = ptx::exp2_approx(max[i] - new_max);
      max[i] = new_max;
      sum[i] *= correction;
#pragma unroll
      for (int j = 0; j < kKeysPerThread; ++j) {
        const int column = thread_x() + kThreadsX * j;
        float weight = ptx::exp2_approx(fmaf(scores[i][j], p.scale_log2, -new_max));
        sum[i] += weight;
        if (p.dropout.enabled && !dropout.is_kept(thread_position + i, first_key + column)) weight = 0;
        weights[(first_thread_row() + i) * row_floats(kKeys) + column] = weight;
      }
#pragma unroll
      for (int j = 0; j < Quads; ++j) {
        out[i][j].x *= correction;
        out[i][j].y *= correction;
        out[i][j].z *= correction;
        out[i][j].w *= correction;
      }
    }

    // --- Weighted values
    __syncthreads();  // nobody uses the keys any more, and weights are complete
    load_rows(keys, v + at, p.kv_strides.row, kKeys, num_keys - first_key, p.head_size);
    __syncthreads();
    accumulate_weighted(out, weights, kKeys, keys, p.head_size);
  }

  // --- Results
  float factors[kRowsPerThread];
#pragma unroll
  for (int i = 0; i < kRowsPerThread; ++i) {
    const float total = row_sum(sum[i]);
    factors[i] = (p.dropout.enabled ? p.dropout.scale : 1.0F) / total;
    const int row = first_thread_row() + i;
    if (p.lse != nullptr && row < num_rows && thread_x() == 0) {
      const std::int64_t head = static_cast<std::int64_t>(b) * p.num_heads + h;
      p.lse[head * p.rows + first_row + row] = fmaf(max[i], kLn2, logf(total));
    }
  }
  T* rows = static_cast<T*>(p.out) + p.out_strides.offset(b, h) + first_row * p.out_strides.row;
  store_rows(rows, p.out_strides.row, num_rows, p.head_size, out, factors);
}

}  // namespace

void attention_forward_simt(const LaunchContext& context, DType dtype, const ForwardProblem& problem) {
  const dim3 grid = attention_grid((problem.rows + kRows - 1) / kRows, problem.num_heads, problem.batch);
  const std::size_t smem = smem_bytes(problem.head_size);
  with_device_type(dtype, [&]<typename T>(T) {
    if (problem.head_size <= 64) return launch(context, grid, kThreads, smem, attention_forward_simt_kernel<T, 1>, problem);
    launch(context, grid, kThreads, smem, attention_forward_simt_kernel<T, 2>, problem);
  });
}

}  // namespace virgil::cuda
