// GELU in its tanh form on the CPU.
#pragma once

#include "backend/cpu/cpu_context.h"
#include "virgil/ops/gelu.h"

namespace virgil::cpu {

void run(const ops::GeluForward& op, const CpuContext& context);
void run(const ops::GeluBackward& op, const CpuContext& context);

}  // namespace virgil::cpu
