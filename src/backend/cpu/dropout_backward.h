// The way back through dropout on the CPU.
#pragma once

#include "backend/cpu/cpu_context.h"
#include "virgil/ops/norm.h"

namespace virgil::cpu {

void run(const ops::DropoutBackward& op, const CpuContext& context);

}  // namespace virgil::cpu
