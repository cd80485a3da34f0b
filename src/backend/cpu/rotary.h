// Rotary positions on the CPU.
#pragma once

#include "backend/cpu/cpu_context.h"
#include "virgil/ops/rotary.h"

namespace virgil::cpu {

void run(const ops::RotaryForward& op, const CpuContext& context);
void run(const ops::RotaryBackward& op, const CpuContext& context);

}  // namespace virgil::cpu
