// ReLU squared (So et al. 2021, "Primer"): max(x, 0)^2.
#pragma once

#include <cstdint>
#include <string_view>

#include "virgil/memory/tensor_view.h"
#include "virgil/ops/access.h"

namespace virgil::ops {

/// out = max(inp, 0)^2, of one shape and dtype. out may be inp.
struct ReluSquaredForward {
  static constexpr std::string_view kName = "relu_squared_forward";
  static constexpr std::string_view kFamily = "relu_squared";
  TensorView out;
  ConstTensorView inp;

  static void operands(auto& op, auto&& visit) {
    visit("out", op.out, Access::kWrite);
    visit("inp", op.inp, Access::kRead);
  }
  /// The number of elements.
  [[nodiscard]] std::int64_t check() const;
};

/// dinp = dout * 2 max(inp, 0). dinp may be dout.
struct ReluSquaredBackward {
  static constexpr std::string_view kName = "relu_squared_backward";
  static constexpr std::string_view kFamily = "relu_squared";
  TensorView dinp;
  ConstTensorView dout;
  ConstTensorView inp;

  static void operands(auto& op, auto&& visit) {
    visit("dinp", op.dinp, Access::kWrite);
    visit("dout", op.dout, Access::kRead);
    visit("inp", op.inp, Access::kRead);
  }
  [[nodiscard]] std::int64_t check() const;
};

}  // namespace virgil::ops
