// Changes of element type on the CPU.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "virgil/base/bfloat16.h"
#include "virgil/ops/copies.h"

namespace virgil::cpu {

/// out = inp, rounded to nearest, ties to even.
void convert(BFloat16* out, const float* inp, std::int64_t num_elements, const CpuContext& context);
/// out = inp, exactly.
void convert(float* out, const BFloat16* inp, std::int64_t num_elements, const CpuContext& context);

void run(const ops::Convert& op, const CpuContext& context);

}  // namespace virgil::cpu
