// Causal self-attention that never stores T x T (Dao: "FlashAttention-2", 2023). Semantics: Backend::attention_*.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cuda/device/launch.h"
#include "virgil/ops/dropout.h"

namespace virgil::cuda {

struct AttentionSizes {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t num_heads = 0;     // of queries
  std::int64_t num_kv_heads = 0;  // of keys and of values, which divides it
  std::int64_t head_size = 0;     // a multiple of 8 up to 128
  DType dtype = DType::kFloat32;
  std::int64_t window = 0;  // positions that a query sees, its own among them; 0: all up to its own

  /// Query heads of a head of keys and values.
  [[nodiscard]] std::int64_t group() const { return num_heads / num_kv_heads; }
  /// C: queries of a row, and what becomes of them.
  [[nodiscard]] std::int64_t channels() const { return num_heads * head_size; }
  /// Of a row of qkv: queries, keys and values side by side.
  [[nodiscard]] std::int64_t qkv_width() const { return (num_heads + 2 * num_kv_heads) * head_size; }
  /// Where keys and values begin in it.
  [[nodiscard]] std::int64_t keys_offset() const { return channels(); }
  [[nodiscard]] std::int64_t values_offset() const { return (num_heads + num_kv_heads) * head_size; }
};

/// out (B, T, C), lse (B, NH, T) natural log; qkv (B, T, qkv_width()).
void attention_forward(const LaunchContext& context, const AttentionSizes& sizes, void* out, float* lse, const void* qkv,
                       const Dropout& dropout, std::span<std::byte> workspace);

/// dqkv (B, T, qkv_width()); gradients of shared keys and values are sums over their query heads, in the order of these.
void attention_backward(const LaunchContext& context, const AttentionSizes& sizes, void* dqkv, const void* dout,
                        const void* out, const void* qkv, const float* lse, const Dropout& dropout,
                        std::span<std::byte> workspace);

/// Operands of generation with a cache; sizes.length is the cache's length L.
struct AttentionDecode {
  void* out = nullptr;        // (S, n, C)
  void* k_cache = nullptr;    // (S, NKV, L, HS), rows first_position.. are written
  void* v_cache = nullptr;    // the same
  const void* qkv = nullptr;  // (S, n, qkv_width())
  std::int64_t new_rows = 0;  // n
  std::int64_t first_position = 0;
};
void attention_decode(const LaunchContext& context, const AttentionSizes& sizes, const AttentionDecode& operands,
                      std::span<std::byte> workspace);

}  // namespace virgil::cuda
