// Tiles of rows in shared memory as float32, and products of them on the ordinary cores.
//
// A block has 8 x 16 threads. Thread (y, x) computes rows 4y .. 4y + 3 of 32 and, of a product's columns, x + 16 j of scores or
// the quads of columns 4x + 64 j of rows of a head.
#pragma once

#include <cstdint>

#include "cuda/device/pack.h"

namespace virgil::cuda::simt_tile {

inline constexpr int kThreadsX = 16;
inline constexpr int kThreads = 8 * kThreadsX;
inline constexpr int kRowsPerThread = 4;
inline constexpr int kRows = 8 * kRowsPerThread;

/// Four floats behind each row: rows then start four banks apart, and eight rows are read at a time without conflict (head
/// sizes are multiples of eight).
[[nodiscard]] __host__ __device__ constexpr int row_floats(int columns) { return columns + 4; }

__device__ __forceinline__ int thread_x() { return static_cast<int>(threadIdx.x) % kThreadsX; }
__device__ __forceinline__ int first_thread_row() { return static_cast<int>(threadIdx.x) / kThreadsX * kRowsPerThread; }

__device__ __forceinline__ float4 load4(const float* address) { return *reinterpret_cast<const float4*>(address); }
__device__ __forceinline__ float dot4(const float4& a, const float4& b, float sum) {
  return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}
__device__ __forceinline__ void add_scaled(float4& sum, float weight, const float4& value) {
  sum.x = fmaf(weight, value.x, sum.x);
  sum.y = fmaf(weight, value.y, sum.y);
  sum.z = fmaf(weight, value.z, sum.z);
  sum.w = fmaf(weight, value.w, sum.w);
}

/// Copies `rows` rows of head_size elements; zeros beyond num_rows. All threads call.
template <typename T>
__device__ __forceinline__ void load_rows(float* tile, const T* from, std::int64_t row_stride, int rows, int num_rows,
                                          int head_size) {
  constexpr int kPack = Pack<T>::kSize;
  const int packs = head_size / kPack;
  for (int i = static_cast<int>(threadIdx.x); i < rows * packs; i += kThreads) {
    const int row = i / packs, d = i % packs * kPack;
    Pack<T> pack{};
    if (row < num_rows) pack = load_pack(from + row * row_stride + d);
    float* to = tile + row * row_floats(head_size) + d;
    float values[kPack];
#pragma unroll
    for (int j = 0; j < kPack; ++j) values[j] = to_float(pack[j]);
    store_floats(to, values);  // of multiples of eight columns and rows of whole quads: 16 bytes at a time
  }
}

/// out[i][j] = row first_thread_row() + i of a times row thread_x() + 16 j of b.
template <int Columns>
__device__ __forceinline__ void multiply_rows(float (&out)[kRowsPerThread][Columns], const float* a, const float* b,
                                              int head_size) {
  const int stride = row_floats(head_size);
  a += first_thread_row() * stride;
  b += thread_x() * stride;
#pragma unroll
  for (int i = 0; i < kRowsPerThread; ++i) {
#pragma unroll
    for (int j = 0; j < Columns; ++j) out[i][j] = 0;
  }
  for (int d = 0; d < head_size; d += 4) {
    float4 columns[Columns];
#pragma unroll
    for (int j = 0; j < Columns; ++j) columns[j] = load4(b + j * kThreadsX * stride + d);
#pragma unroll
    for (int i = 0; i < kRowsPerThread; ++i) {
      const float4 row = load4(a + i * stride + d);
#pragma unroll
      for (int j = 0; j < Columns; ++j) out[i][j] = dot4(row, columns[j], out[i][j]);
    }
  }
}

/// out[i][j] += weights (32, count), whose rows are row_floats(count) apart, times rows of b: four columns of row
/// first_thread_row() + i. Columns beyond head_size stay as they are.
template <int Quads>
__device__ __forceinline__ void accumulate_weighted(float4 (&out)[kRowsPerThread][Quads], const float* weights, int count,
                                                    const float* b, int head_size) {
  const int stride = row_floats(head_size), weight_stride = row_floats(count);
  weights += first_thread_row() * weight_stride;
#pragma unroll
  for (int j = 0; j < Quads; ++j) {
    const int column = 4 * thread_x() + 4 * kThreadsX * j;
    if (column >= head_size) continue;
    for (int k = 0; k < count; k += 4) {
      float4 values[4];
#pragma unroll
      for (int l = 0; l < 4; ++l) values[l] = load4(b + (k + l) * stride + column);
#pragma unroll
      for (int i = 0; i < kRowsPerThread; ++i) {
        const float4 weight = load4(weights + i * weight_stride + k);
        add_scaled(out[i][j], weight.x, values[0]);
        add_scaled(out[i][j], weight.y, values[1]);
        add_scaled(out[i][j], weight.z, values[2]);
        add_scaled(out[i][j], weight.w, values[3]);
      }
    }
  }
}

/// Writes the thread's quads of rows below num_rows, each row times its factor.
template <typename T, int Quads>
__device__ __forceinline__ void store_rows(T* rows, std::int64_t row_stride, int num_rows, int head_size,
                                           const float4 (&values)[kRowsPerThread][Quads],
                                           const float (&factors)[kRowsPerThread]) {
  struct alignas(4 * sizeof(T)) Quad {
    T x, y, z, w;
  };
#pragma unroll
  for (int i = 0; i < kRowsPerThread; ++i) {
    const int row = first_thread_row() + i;
#pragma unroll
    for (int j = 0; j < Quads; ++j) {
      const int column = 4 * thread_x() + 4 * kThreadsX * j;
      if (row >= num_rows || column >= head_size) continue;
      const float4& value = values[i][j];
      *reinterpret_cast<Quad*>(rows + row * row_stride + column) = {
          from_float<T>(value.x * factors[i]), from_float<T>(value.y * factors[i]), from_float<T>(value.z * factors[i]),
          from_float<T>(value.w * factors[i])};
    }
  }
}

}  // namespace virgil::cuda::simt_tile
