// Softmax cross-entropy over the vocabulary.
#pragma once

#include <cstdint>
#include <string_view>

#include "virgil/memory/tensor_view.h"
#include "virgil/ops/access.h"
#include "virgil/ops/sizes.h"

namespace virgil::ops {

/// losses (N) float32: -log softmax(logits)[target] in nats over the first vocab_size columns of logits (N, Vp); 0 where the
/// target is negative (ignored).
struct CrossEntropyForward {
  static constexpr std::string_view kName = "cross_entropy_forward";
  static constexpr std::string_view kFamily = "cross_entropy";
  TensorView losses;
  ConstTensorView logits;
  ConstTensorView targets;
  std::int64_t vocab_size = 0;

  static void operands(auto& op, auto&& visit) {
    visit("losses", op.losses, Access::kWrite);
    visit("logits", op.logits, Access::kRead);
    visit("targets", op.targets, Access::kRead);
  }
  /// Of logits.
  [[nodiscard]] RowSizes check() const;
};

/// The same losses, and logits is overwritten by its gradient times grad_scale: (softmax - onehot) * grad_scale, 0 in padded
/// columns and ignored rows.
struct CrossEntropyForwardBackward {
  static constexpr std::string_view kName = "cross_entropy_forward_backward";
  static constexpr std::string_view kFamily = "cross_entropy";
  TensorView losses;
  TensorView logits;
  ConstTensorView targets;
  std::int64_t vocab_size = 0;
  float grad_scale = 1;

  static void operands(auto& op, auto&& visit) {
    visit("losses", op.losses, Access::kWrite);
    visit("logits", op.logits, Access::kUpdate);
    visit("targets", op.targets, Access::kRead);
  }
  [[nodiscard]] RowSizes check() const;
};

}  // namespace virgil::ops
