// Gated linear units on the CPU.
#pragma once

#include "backend/cpu/cpu_context.h"
#include "virgil/ops/glu.h"

namespace virgil::cpu {

void run(const ops::GluForward& op, const CpuContext& context);
void run(const ops::GluBackward& op, const CpuContext& context);

}  // namespace virgil::cpu
