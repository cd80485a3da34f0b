// GELU, tanh form (Hendrycks, Gimpel 2016; GPT-2).
#pragma once

#include <cstdint>
#include <string_view>

#include "virgil/memory/tensor_view.h"
#include "virgil/ops/access.h"

namespace virgil::ops {

/// out = gelu(inp), of one shape and dtype. out may be inp.
struct GeluForward {
  static constexpr std::string_view kName = "gelu_forward";
  static constexpr std::string_view kFamily = "gelu";
  TensorView out;
  ConstTensorView inp;

  static void operands(auto& op, auto&& visit) {
    visit("out", op.out, Access::kWrite);
    visit("inp", op.inp, Access::kRead);
  }
  /// The number of elements.
  [[nodiscard]] std::int64_t check() const;
};

/// dinp = dout * gelu'(inp). dinp may be dout.
struct GeluBackward {
  static constexpr std::string_view kName = "gelu_backward";
  static constexpr std::string_view kFamily = "gelu";
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
