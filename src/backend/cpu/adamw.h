// AdamW (Loshchilov, Hutter 2019) on the CPU.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "virgil/backend/backend.h"

namespace virgil::cpu {

/// One update in place, in one pass: param, m, v, grad (num_elements). Changes nothing when norm is not finite.
void adamw_update(float* param, float* m, float* v, const float* grad, std::int64_t num_elements, float norm,
                  const AdamWStep& step, const CpuContext& context);

}  // namespace virgil::cpu
