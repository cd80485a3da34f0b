// Causal self-attention (Dao 2023: never stores T x T).
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
  std::int64_t num_heads = 0;
  std::int64_t head_size = 0;
  DType dtype = DType::kFloat32;
};

namespace ops {

/// out (B, T, C), lse (B, NH, T) float32 natural-log sum of exponents of the scaled scores; qkv (B, T, 3C) holds q, k, v side
/// by side, heads inside each. Scale 1 / sqrt(HS); dropout on the probabilities. HS is a multiple of 8 up to 128.
struct AttentionForward {
  static constexpr std::string_view kName = "attention_forward";
  static constexpr std::string_view kFamily = "attention";
  TensorView out;
  TensorView lse;
  ConstTensorView qkv;
  std::int64_t num_heads = 0;
  Dropout dropout = {};

  static void operands(auto& op, auto&& visit) {
    visit("out", op.out, Access::kWrite);
    visit("lse", op.lse, Access::kWrite);
    visit("qkv", op.qkv, Access::kRead);
  }
  [[nodiscard]] AttentionShape check() const;
  /// Two products over the causal half.
  [[nodiscard]] Cost cost() const;
  [[nodiscard]] std::string sizes_text() const;
};

/// dqkv (B, T, 3C) from dout, out (B, T, C), qkv and lse of the forward pass.
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
/// new row to all positions up to its own. out (S, n, C), qkv (S, n, 3C), k_cache, v_cache (S, NH, L, HS) with first_position +
/// n <= L.
struct AttentionDecode {
  static constexpr std::string_view kName = "attention_decode";
  static constexpr std::string_view kFamily = "attention";
  TensorView out;
  TensorView k_cache;
  TensorView v_cache;
  ConstTensorView qkv;
  std::int64_t num_heads = 0;
  std::int64_t first_position = 0;

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
