// AdamW (Loshchilov, Hutter 2019).
#pragma once

#include <cstdint>
#include <string_view>

#include "virgil/base/philox.h"
#include "virgil/memory/tensor_view.h"
#include "virgil/ops/access.h"

namespace virgil {

/// AdamW at step t >= 1, with the clip by global norm folded in.
struct AdamWStep {
  float learning_rate = 0;
  float beta1 = 0.9F;
  float beta2 = 0.95F;
  float eps = 1e-8F;
  float weight_decay = 0;
  std::int64_t t = 1;    // 1 at the first update: bias corrections are 1 - beta^t, computed in double
  float max_norm = 0;    // gradients are scaled by min(1, max_norm / norm); 0 switches clipping off
  float grad_scale = 1;  // gradients are multiplied by this before anything else (the norm includes it already)
  // For bfloat16 moments and parameters, which are rounded stochastically: up with the probability that makes the expected
  // result exact. Of this stream element i takes word first_index + i, the upper half for m and the lower half for v; a
  // parameter takes the upper half of the same word of weight_rounding(rounding).
  RandomStream rounding = {};
  std::int64_t first_index = 0;  // a multiple of 4
};

/// The stream that rounds parameters, of the same seed, site and step.
[[nodiscard]] constexpr RandomStream weight_rounding(RandomStream rounding) {
  rounding.purpose = RandomPurpose::kWeightRounding;
  return rounding;
}

namespace ops {

/// One AdamW update in place: param, m, v, grad of equal size; grad float32; m and v float32, or both bfloat16 and then rounded
/// stochastically (the update itself uses the moments before rounding). param is float32, and working becomes param rounded to
/// nearest: bfloat16, float16, or absent; or param is bfloat16, working is absent, and the new param, computed in float32, is
/// rounded stochastically. norm (1) is the global norm from L2Norm: it scales the gradient when above max_norm, and when it is
/// not finite nothing is changed.
struct AdamWUpdate {
  static constexpr std::string_view kName = "adamw_update";
  static constexpr std::string_view kFamily = "optimizer";
  TensorView param;
  TensorView working;
  TensorView m;
  TensorView v;
  ConstTensorView grad;
  ConstTensorView norm;
  AdamWStep step = {};

  static void operands(auto& op, auto&& visit) {
    visit("param", op.param, Access::kUpdate);
    visit("working", op.working, Access::kWrite);
    visit("m", op.m, Access::kUpdate);
    visit("v", op.v, Access::kUpdate);
    visit("grad", op.grad, Access::kRead);
    visit("norm", op.norm, Access::kRead);
  }
  /// The number of parameters.
  [[nodiscard]] std::int64_t check() const;
};

}  // namespace ops

}  // namespace virgil
