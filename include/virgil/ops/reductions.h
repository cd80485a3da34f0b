// Sums over whole tensors, in float64.
#pragma once

#include <cstdint>
#include <string_view>

#include "virgil/memory/tensor_view.h"
#include "virgil/ops/access.h"

namespace virgil::ops {

/// out (1) float32 = sum of inp.
struct ReduceSum {
  static constexpr std::string_view kName = "reduce_sum";
  static constexpr std::string_view kFamily = "cross_entropy";
  TensorView out;
  ConstTensorView inp;

  static void operands(auto& op, auto&& visit) {
    visit("out", op.out, Access::kWrite);
    visit("inp", op.inp, Access::kRead);
  }
  /// The number of elements of inp.
  [[nodiscard]] std::int64_t check() const;
};

/// out (1) float32 = sqrt(sum of squares of inp) * scale; not finite when any element is not.
struct L2Norm {
  static constexpr std::string_view kName = "l2_norm";
  static constexpr std::string_view kFamily = "optimizer";
  TensorView out;
  ConstTensorView inp;
  float scale = 1;

  static void operands(auto& op, auto&& visit) {
    visit("out", op.out, Access::kWrite);
    visit("inp", op.inp, Access::kRead);
  }
  [[nodiscard]] std::int64_t check() const;
};

}  // namespace virgil::ops
