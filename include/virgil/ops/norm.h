// Layernorm (Ba, Kiros, Hinton 2016) and RMSNorm (Zhang, Sennrich 2019), alone and fused with the residual add before it, and
// the way back through the dropout of that add.
//
// With mean it is layernorm: (inp - mean) rstd weight + bias, rstd = 1 / sqrt(variance + epsilon). Without, RMSNorm: inp rstd
// weight, rstd = 1 / sqrt(mean of squares + epsilon).
#pragma once

#include <string_view>

#include "virgil/memory/tensor_view.h"
#include "virgil/ops/access.h"
#include "virgil/ops/dropout.h"
#include "virgil/ops/sizes.h"

namespace virgil::ops {

inline constexpr float kNormEpsilon = 1e-5F;  // GPT-2's

/// out, inp (..., C); mean, rstd (rows), float32 outputs; weight, bias (C). mean absent: RMSNorm, which has no
/// bias. Layernorm's is optional.
struct NormForward {
  static constexpr std::string_view kName = "norm_forward";
  static constexpr std::string_view kFamily = "norm";
  TensorView out;
  TensorView mean;
  TensorView rstd;
  ConstTensorView inp;
  ConstTensorView weight;
  ConstTensorView bias;
  float epsilon = kNormEpsilon;

  static void operands(auto& op, auto&& visit) {
    visit("out", op.out, Access::kWrite);
    visit("mean", op.mean, Access::kWrite);
    visit("rstd", op.rstd, Access::kWrite);
    visit("inp", op.inp, Access::kRead);
    visit("weight", op.weight, Access::kRead);
    visit("bias", op.bias, Access::kRead);
  }
  [[nodiscard]] RowSizes check() const;
};

/// residual_out = residual + dropout(branch), then its norm, in one pass: the same bits as the two ops apart.
/// All (B, T, C). residual_out may be residual. Dropout counts elements as (sequence, position, channel).
struct ResidualNormForward {
  static constexpr std::string_view kName = "residual_norm_forward";
  static constexpr std::string_view kFamily = "norm";
  TensorView residual_out;
  TensorView out;
  TensorView mean;
  TensorView rstd;
  ConstTensorView residual;
  ConstTensorView branch;
  ConstTensorView weight;
  ConstTensorView bias;
  Dropout dropout = {};
  float epsilon = kNormEpsilon;

  static void operands(auto& op, auto&& visit) {
    visit("residual_out", op.residual_out, Access::kWrite);
    visit("out", op.out, Access::kWrite);
    visit("mean", op.mean, Access::kWrite);
    visit("rstd", op.rstd, Access::kWrite);
    visit("residual", op.residual, Access::kRead);
    visit("branch", op.branch, Access::kRead);
    visit("weight", op.weight, Access::kRead);
    visit("bias", op.bias, Access::kRead);
  }
  [[nodiscard]] SequenceSizes check() const;
};

/// dinp (..., C) +=, dweight (C) +=, dbias (C) += (absent without bias). mean absent: of RMSNorm, without dbias.
struct NormBackward {
  static constexpr std::string_view kName = "norm_backward";
  static constexpr std::string_view kFamily = "norm";
  TensorView dinp;
  TensorView dweight;
  TensorView dbias;
  ConstTensorView dout;
  ConstTensorView inp;
  ConstTensorView weight;
  ConstTensorView mean;
  ConstTensorView rstd;

  static void operands(auto& op, auto&& visit) {
    visit("dinp", op.dinp, Access::kUpdate);
    visit("dweight", op.dweight, Access::kUpdate);
    visit("dbias", op.dbias, Access::kUpdate);
    visit("dout", op.dout, Access::kRead);
    visit("inp", op.inp, Access::kRead);
    visit("weight", op.weight, Access::kRead);
    visit("mean", op.mean, Access::kRead);
    visit("rstd", op.rstd, Access::kRead);
  }
  [[nodiscard]] RowSizes check() const;
};

/// dinp (B, T, C) = dout * mask / (1 - p): the way back through the dropout of a residual branch. dropout.p > 0.
struct DropoutBackward {
  static constexpr std::string_view kName = "dropout_backward";
  static constexpr std::string_view kFamily = "dropout";
  TensorView dinp;
  ConstTensorView dout;
  Dropout dropout = {};

  static void operands(auto& op, auto&& visit) {
    visit("dinp", op.dinp, Access::kWrite);
    visit("dout", op.dout, Access::kRead);
  }
  [[nodiscard]] SequenceSizes check() const;
};

}  // namespace virgil::ops
