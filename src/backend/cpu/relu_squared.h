// ReLU squared on the CPU.
#pragma once

#include "backend/cpu/cpu_context.h"
#include "virgil/ops/relu_squared.h"

namespace virgil::cpu {

void run(const ops::ReluSquaredForward& op, const CpuContext& context);
void run(const ops::ReluSquaredBackward& op, const CpuContext& context);

}  // namespace virgil::cpu
