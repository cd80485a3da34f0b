// Gated linear units (Shazeer 2020, "GLU Variants Improve Transformer"): an activation of one half of a product, times the
// other half.
#pragma once

#include <cstdint>
#include <string_view>

#include "virgil/memory/tensor_view.h"
#include "virgil/ops/access.h"
#include "virgil/ops/glu_gate.h"
#include "virgil/ops/sizes.h"

namespace virgil::ops {

/// out (..., F) = act(gate) * up; inp (..., 2 F) holds gate and up side by side in each row.
struct GluForward {
  static constexpr std::string_view kName = "glu_forward";
  static constexpr std::string_view kFamily = "glu";
  TensorView out;
  ConstTensorView inp;
  GluGate act = GluGate::kSilu;

  static void operands(auto& op, auto&& visit) {
    visit("out", op.out, Access::kWrite);
    visit("inp", op.inp, Access::kRead);
  }
  /// Those of out.
  [[nodiscard]] RowSizes check() const;
};

/// dinp, as inp: dgate = dout * up * act'(gate), dup = dout * act(gate); dout (..., F). dinp may be inp.
struct GluBackward {
  static constexpr std::string_view kName = "glu_backward";
  static constexpr std::string_view kFamily = "glu";
  TensorView dinp;
  ConstTensorView dout;
  ConstTensorView inp;
  GluGate act = GluGate::kSilu;

  static void operands(auto& op, auto&& visit) {
    visit("dinp", op.dinp, Access::kWrite);
    visit("dout", op.dout, Access::kRead);
    visit("inp", op.inp, Access::kRead);
  }
  /// Those of dout.
  [[nodiscard]] RowSizes check() const;
};

}  // namespace virgil::ops
