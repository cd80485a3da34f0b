// Gated linear units (Shazeer 2020, "GLU Variants Improve Transformer"): an activation of one product, times another product.
#pragma once

#include <cstdint>
#include <string_view>

#include "virgil/memory/tensor_view.h"
#include "virgil/ops/access.h"
#include "virgil/ops/glu_gate.h"

namespace virgil::ops {

/// out = act(gate) * up, of one shape and dtype. out may be gate or up.
struct GluForward {
  static constexpr std::string_view kName = "glu_forward";
  static constexpr std::string_view kFamily = "glu";
  TensorView out;
  ConstTensorView gate;
  ConstTensorView up;
  GluGate act = GluGate::kSilu;

  static void operands(auto& op, auto&& visit) {
    visit("out", op.out, Access::kWrite);
    visit("gate", op.gate, Access::kRead);
    visit("up", op.up, Access::kRead);
  }
  /// The number of elements.
  [[nodiscard]] std::int64_t check() const;
};

/// dgate = dout * up * act'(gate), dup = dout * act(gate). Either may be dout.
struct GluBackward {
  static constexpr std::string_view kName = "glu_backward";
  static constexpr std::string_view kFamily = "glu";
  TensorView dgate;
  TensorView dup;
  ConstTensorView dout;
  ConstTensorView gate;
  ConstTensorView up;
  GluGate act = GluGate::kSilu;

  static void operands(auto& op, auto&& visit) {
    visit("dgate", op.dgate, Access::kWrite);
    visit("dup", op.dup, Access::kWrite);
    visit("dout", op.dout, Access::kRead);
    visit("gate", op.gate, Access::kRead);
    visit("up", op.up, Access::kRead);
  }
  [[nodiscard]] std::int64_t check() const;
};

}  // namespace virgil::ops
