// Matrix products, and the sums of columns that are a bias's gradient.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "virgil/base/dtype.h"
#include "virgil/memory/tensor_view.h"
#include "virgil/ops/access.h"
#include "virgil/ops/sizes.h"

namespace virgil {

/// A matrix product out (m, n) = op(a) (m, k) * op(b) (k, n) [+ bias (n)] [+ out].
struct MatmulOptions {
  bool transpose_a = false;  // a is stored (k, m)
  bool transpose_b = false;  // b is stored (n, k)
  bool accumulate = false;   // add to what `out` holds
  friend bool operator==(const MatmulOptions&, const MatmulOptions&) = default;
};

struct MatmulShape {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  DType dtype = DType::kFloat32;      // of a, b and bias
  DType out_dtype = DType::kFloat32;  // the same, or float32
  bool has_bias = false;
  MatmulOptions options = {};
  friend bool operator==(const MatmulShape&, const MatmulShape&) = default;
  /// "m=64 n=384 k=128 a' +=".
  [[nodiscard]] std::string to_string() const;
};

namespace ops {

/// out (m, n) = op(a) * op(b) + bias; leading dimensions of out and a are flattened to rows. bias (n) optional, and not
/// together with accumulate. float32 accumulation. out may be float32 when a and b are 16-bit.
struct Matmul {
  static constexpr std::string_view kName = "matmul";
  static constexpr std::string_view kFamily = "matmul";
  TensorView out;
  ConstTensorView a;
  ConstTensorView b;
  ConstTensorView bias;
  MatmulOptions options = {};

  static void operands(auto& op, auto&& visit) {
    visit("out", op.out, op.options.accumulate ? Access::kUpdate : Access::kWrite);
    visit("a", op.a, Access::kRead);
    visit("b", op.b, Access::kRead);
    visit("bias", op.bias, Access::kRead);
  }
  [[nodiscard]] MatmulShape check() const;
  [[nodiscard]] Cost cost() const;
  [[nodiscard]] std::string sizes_text() const { return check().to_string(); }
};

/// dinp (..., F) = (dout (..., C) * weight^T) * gelu'(hidden): back through a product with weight (F, C) and the GELU before
/// it, whose input was hidden (..., F). With 16 bits the product may be rounded before it is multiplied, and the derivative may
/// be that of a tanh off by 2^-11 of it. Scratch: the product's.
struct MatmulGeluBackward {
  static constexpr std::string_view kName = "matmul_gelu_backward";
  static constexpr std::string_view kFamily = "matmul";
  TensorView dinp;
  ConstTensorView dout;
  ConstTensorView weight;
  ConstTensorView hidden;

  static void operands(auto& op, auto&& visit) {
    visit("dinp", op.dinp, Access::kWrite);
    visit("dout", op.dout, Access::kRead);
    visit("weight", op.weight, Access::kRead);
    visit("hidden", op.hidden, Access::kRead);
  }
  /// The product's shape.
  [[nodiscard]] MatmulShape check() const;
  [[nodiscard]] Cost cost() const;
  [[nodiscard]] std::string sizes_text() const { return check().to_string(); }
};

/// dbias (C) += column sums of dout (..., C).
struct BiasBackward {
  static constexpr std::string_view kName = "bias_backward";
  static constexpr std::string_view kFamily = "bias";
  TensorView dbias;
  ConstTensorView dout;

  static void operands(auto& op, auto&& visit) {
    visit("dbias", op.dbias, Access::kUpdate);
    visit("dout", op.dout, Access::kRead);
  }
  [[nodiscard]] RowSizes check() const;
};

}  // namespace ops

}  // namespace virgil
