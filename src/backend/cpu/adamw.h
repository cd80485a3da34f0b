// AdamW (Loshchilov, Hutter 2019) on the CPU.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "virgil/backend/backend.h"

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

/// One update in place, in one pass. Changes nothing when norm is not finite.
template <typename Param, typename Moment>
void adamw_update(const AdamWTensors<Param, Moment>& tensors, std::int64_t num_elements, float norm, const AdamWStep& step,
                  const CpuContext& context);

}  // namespace virgil::cpu
