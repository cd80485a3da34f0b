// What the attention launchers hand to their kernels. Private to cuda/kernels/attention*.cu.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "cuda/device/launch.h"
#include "cuda/device/random.h"

namespace virgil::cuda {

/// Element (b, h, row, d) lies at b * batch + h * head + row * row + d.
struct HeadStrides {
  std::int64_t batch = 0;
  std::int64_t head = 0;
  std::int64_t row = 0;

  [[nodiscard]] __host__ __device__ std::int64_t offset(int b, int h) const { return b * batch + h * head; }
};

/// Strides of heads side by side in rows (B, T, width), and of a cache (S, NKV, L, HS).
[[nodiscard]] inline HeadStrides row_strides(std::int64_t T, std::int64_t width, std::int64_t HS) {
  return {T * width, HS, width};
}
[[nodiscard]] inline HeadStrides cache_strides(std::int64_t L, std::int64_t NKV, std::int64_t HS) {
  return {NKV * L * HS, L * HS, HS};
}

/// Rows of queries that attend to all positions up to their own; row r stands at position first_position + r.
struct ForwardProblem {
  void* out = nullptr;
  float* lse = nullptr;  // (B, NH, rows), optional
  const void* q = nullptr;
  const void* k = nullptr;
  const void* v = nullptr;
  HeadStrides out_strides, q_strides, kv_strides;
  std::int64_t batch = 0;
  int num_heads = 0;  // of queries
  int group = 1;      // of them to a head of keys and values
  int head_size = 0;
  int rows = 0;
  int first_position = 0;
  int window = 0;        // window_of()
  float scale_log2 = 0;  // log2(e) / sqrt(HS): exponentials are powers of two
  DeviceDropout dropout;
};

/// Positions that a query sees, its own among them, at most all `positions` that there are.
[[nodiscard]] inline int window_of(std::int64_t window, std::int64_t positions) {
  return static_cast<int>(window == 0 ? positions : std::min(window, positions));
}

/// A row's lse in base 2, and the sum of dout * out over its head: all that the softmax needs on the way back. Beyond the
/// sequence's end it is {inf, 0}, which makes probabilities 0.
struct RowStatistics {
  float lse_log2;
  float delta;
};

struct BackwardProblem {
  void* dqkv = nullptr;
  const void* qkv = nullptr;
  const void* dout = nullptr;
  const RowStatistics* statistics = nullptr;  // (B, NH, padded_length)
  std::int64_t padded_length = 0;
  HeadStrides qkv_strides, out_strides;
  std::int64_t keys_offset = 0, values_offset = 0;  // in a row of qkv
  std::int64_t batch = 0;
  int num_heads = 0;  // of queries
  int group = 1;      // of them to a head of keys and values
  int head_size = 0;
  int length = 0;
  int window = 0;  // window_of()
  float scale = 0;
  float scale_log2 = 0;
  DeviceDropout dropout;
};

/// The largest score of a row that has seen no key yet: less than any score, and finite, so that no difference is NaN.
inline constexpr float kNoScore = -1e30F;

inline constexpr float kLog2E = 1.4426950408889634F;
inline constexpr float kLn2 = 0.6931471805599453F;

/// 1 / sqrt(HS), and that times log2(e), rounded once.
[[nodiscard]] inline float attention_scale(std::int64_t head_size) {
  return static_cast<float>(1 / std::sqrt(static_cast<double>(head_size)));
}
[[nodiscard]] inline float attention_scale_log2(std::int64_t head_size) {
  return static_cast<float>(std::numbers::log2e / std::sqrt(static_cast<double>(head_size)));
}

/// A grid of (tiles, heads, sequences).
[[nodiscard]] inline dim3 attention_grid(std::int64_t tiles, std::int64_t num_heads, std::int64_t batch) {
  constexpr std::int64_t kMaxGridYZ = 65535;
  if (num_heads > kMaxGridYZ || batch > kMaxGridYZ) {
    throw std::logic_error("attention of " + std::to_string(batch) + " sequences and " + std::to_string(num_heads) +
                           " heads: a launch holds at most 65535 of each; use a smaller micro-batch");
  }
  return {blocks_for(tiles, 1), static_cast<unsigned>(num_heads), static_cast<unsigned>(batch)};
}

/// Calls function(std::integral_constant<int, HS>{}) with the smallest compiled head size that holds `head_size`; the
/// difference is filled with zeros.
template <typename Function>
void with_padded_head_size(std::int64_t head_size, Function&& function) {
  if (head_size <= 32) return function(std::integral_constant<int, 32>{});
  if (head_size <= 64) return function(std::integral_constant<int, 64>{});
  if (head_size <= 80) return function(std::integral_constant<int, 80>{});
  if (head_size <= 96) return function(std::integral_constant<int, 96>{});
  if (head_size <= 128) return function(std::integral_constant<int, 128>{});
  throw std::logic_error("attention with heads of " + std::to_string(head_size) + " channels");
}

/// Calls function(T{}) with a 16-bit type.
template <typename Function>
void with_16_bit_type(DType dtype, Function&& function) {
  if (dtype == DType::kBFloat16) return function(__nv_bfloat16{});
  if (dtype == DType::kFloat16) return function(__half{});
  throw std::logic_error("tensor-core attention takes 16-bit types");
}

/// On tensor cores: 16-bit types, compute capability 8.0 or later.
void attention_forward_mma(const LaunchContext& context, DType dtype, const ForwardProblem& problem);
void attention_backward_mma(const LaunchContext& context, DType dtype, const BackwardProblem& problem);
/// In float32 arithmetic: all types, all devices.
void attention_forward_simt(const LaunchContext& context, DType dtype, const ForwardProblem& problem);
void attention_backward_simt(const LaunchContext& context, DType dtype, const BackwardProblem& problem);

/// Picks one of the two.
void attention_forward(const LaunchContext& context, DType dtype, const ForwardProblem& problem);

}  // namespace virgil::cuda
