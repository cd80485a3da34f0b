// Token and position embeddings.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "virgil/memory/tensor_view.h"
#include "virgil/ops/access.h"
#include "virgil/ops/dropout.h"
#include "virgil/ops/sizes.h"

namespace virgil::ops {

/// out (B, T, C) = dropout(wte[tokens] + wpe[first_position + t]); tokens (B, T), wte (Vp, C), wpe (block, C), absent: of
/// tokens alone. Running it throws InternalError on a token outside wte (checked on the CPU; the data layer guarantees it).
struct EmbeddingForward {
  static constexpr std::string_view kName = "embedding_forward";
  static constexpr std::string_view kFamily = "embedding";
  TensorView out;
  ConstTensorView tokens;
  ConstTensorView wte;
  ConstTensorView wpe;
  std::int64_t first_position = 0;
  Dropout dropout = {};

  static void operands(auto& op, auto&& visit) {
    visit("out", op.out, Access::kWrite);
    visit("tokens", op.tokens, Access::kRead);
    visit("wte", op.wte, Access::kRead);
    visit("wpe", op.wpe, Access::kRead);
  }
  [[nodiscard]] SequenceSizes check() const;
  /// Of the tables only the rows that are looked up.
  [[nodiscard]] Cost cost() const;
  [[nodiscard]] std::string sizes_text() const { return out.shape().to_string(); }
};

/// dwte (Vp, C) +=, dwpe (block, C) += from dout (B, T, C), positions 0..T-1. dwpe absent: of tokens alone.
struct EmbeddingBackward {
  static constexpr std::string_view kName = "embedding_backward";
  static constexpr std::string_view kFamily = "embedding";
  TensorView dwte;
  TensorView dwpe;
  ConstTensorView dout;
  ConstTensorView tokens;
  Dropout dropout = {};

  static void operands(auto& op, auto&& visit) {
    visit("dwte", op.dwte, Access::kUpdate);
    visit("dwpe", op.dwpe, Access::kUpdate);
    visit("dout", op.dout, Access::kRead);
    visit("tokens", op.tokens, Access::kRead);
  }
  [[nodiscard]] SequenceSizes check() const;
  /// Without the tables' gradients, of which it depends on the tokens how many rows are touched.
  [[nodiscard]] Cost cost() const;
  [[nodiscard]] std::string sizes_text() const { return dout.shape().to_string(); }
};

}  // namespace virgil::ops
