// AdamW (Loshchilov, Hutter 2019) on the CPU.
#pragma once

#include "backend/cpu/cpu_context.h"
#include "virgil/base/bfloat16.h"
#include "virgil/ops/adamw.h"

namespace virgil::cpu {

/// (num_elements) each. Param and Moment: float, or BFloat16 with stochastic rounding.
template <typename Param, typename Moment>
struct AdamWTensors {
  Param* param;
  BFloat16* working;  // param rounded to nearest; null: not wanted
  Moment* m;
  Moment* v;
  const float* grad;
};

/// In one pass.
void run(const ops::AdamWUpdate& op, const CpuContext& context);

}  // namespace virgil::cpu
