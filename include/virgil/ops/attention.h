// Causal self-attention (Dao 2023: never stores T x T), over all positions or a window of the last ones (Child et al. 2019;
// Jiang et al. 2023).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "virgil/base/dtype.h"
#include "virgil/memory/tensor_view.h"
#include "virgil/ops/access.h"
#include "virgil/ops/dropout.h"

namespace virgil {

/// Sizes of a causal self-attention call.
struct AttentionShape {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t num_heads = 0;  // of queries
  std::int64_t head_size = 0;
  DType dtype = DType::kFloat32;
  std::int64_t num_kv_heads = 0;  // of keys and of values, each for as many query heads side by side; 0: num_heads
  std::int64_t window = 0;        // positions that a query sees, its own among them; 0: all up to its own

  [[nodiscard]] std::int64_t kv_heads() const { return num_kv_heads == 0 ? num_heads : num_kv_heads; }
  /// Query heads of a head of keys and values.
  [[nodiscard]] std::int64_t group() const { return num_heads / kv_heads(); }
  /// Of a row of qkv: queries, keys and values side by side.
  [[nodiscard]] std::int64_t qkv_width() const { return (num_heads + 2 * kv_heads()) * head_size; }
  /// The first position that a query sees.
  [[nodiscard]] std::int64_t first_key(std::int64_t query) const {
    return window == 0 || query < window ? 0 : query - window + 1;
  }
};

namespace ops {

/// out (B, T, NH * HS), lse (B, NH, T) float32 natural-log sum of exponents of the scaled scores; qkv (B, T, (NH + 2 NKV) * HS)
/// holds q, k, v side by side, heads inside each. Query head h attends to key and value head h / (NH / NKV). Scale 1 /
/// sqrt(HS); dropout on the probabilities. HS is a multiple of 8 up to 128.
struct AttentionForward {
  static constexpr std::string_view kName = "attention_forward";
  static constexpr std::string_view kFamily = "attention";
  TensorView out;
  TensorView lse;
  ConstTensorView qkv;
  std::int64_t num_heads = 0;
  Dropout dropout = {};
  std::int64_t num_kv_heads = 0;  // 0: num_heads
  std::int64_t window = 0;        // positions that a query sees, its own among them; 0: all up to its own

  static void operands(auto& op, auto&& visit) {
    visit("out", op.out, Access::kWrite);
    visit("lse", op.lse, Access::kWrite);
    visit("qkv", op.qkv, Access::kRead);
  }
  [[nodiscard]] AttentionShape check() const;
  /// Two products over the pairs of a query and a key that it sees.
  [[nodiscard]] Cost cost() const;
  [[nodiscard]] std::string sizes_text() const;
};

/// dqkv, as qkv, from dout, out (B, T, NH * HS), qkv and lse of the forward pass. Gradients of grouped keys and values are sums
/// over their query heads, in the order of these.
struct AttentionBackward {
  static constexpr std::string_view kName = "attention_backward";
  static constexpr std::string_view kFamily = "attention";
  TensorView dqkv;
  ConstTensorView dout;
  ConstTensorView out;
  ConstTensorView qkv;
  ConstTensorView lse;
  std::int64_t num_heads = 0;
  Dropout dropout = {};
  std::int64_t num_kv_heads = 0;  // 0: num_heads
  std::int64_t window = 0;        // positions that a query sees, its own among them; 0: all up to its own

  static void operands(auto& op, auto&& visit) {
    visit("dqkv", op.dqkv, Access::kWrite);
    visit("dout", op.dout, Access::kRead);
    visit("out", op.out, Access::kRead);
    visit("qkv", op.qkv, Access::kRead);
    visit("lse", op.lse, Access::kRead);
  }
  [[nodiscard]] AttentionShape check() const;
  /// Five products: the scores once more, and the gradients of values, probabilities, queries and keys.
  [[nodiscard]] Cost cost() const;
  [[nodiscard]] std::string sizes_text() const;
};

/// Generation with a cache: appends the n new rows' k and v to the caches at positions first_position.. and attends from each
/// new row to all positions up to its own, or a window of them. out (S, n, NH * HS), qkv (S, n, (NH + 2 NKV) * HS), k_cache,
/// v_cache (S, NKV, L, HS) with first_position + n <= L.
struct AttentionDecode {
  static constexpr std::string_view kName = "attention_decode";
  static constexpr std::string_view kFamily = "attention";
  TensorView out;
  TensorView k_cache;
  TensorView v_cache;
  ConstTensorView qkv;
  std::int64_t num_heads = 0;
  std::int64_t first_position = 0;
  std::int64_t num_kv_heads = 0;  // 0: num_heads
  std::int64_t window = 0;        // positions that a query sees, its own among them; 0: all up to its own

  static void operands(auto& op, auto&& visit) {
    visit("out", op.out, Access::kWrite);
    visit("k_cache", op.k_cache, Access::kUpdate);
    visit("v_cache", op.v_cache, Access::kUpdate);
    visit("qkv", op.qkv, Access::kRead);
  }
  /// batch is S, length is n.
  [[nodiscard]] AttentionShape check() const;
  /// As check(), but length is that of the caches, L: what scratch is sized for.
  [[nodiscard]] AttentionShape cache_shape() const;
  /// Of the caches only the positions up to the new ones.
  [[nodiscard]] Cost cost() const;
  [[nodiscard]] std::string sizes_text() const;
};

}  // namespace ops

}  // namespace virgil
