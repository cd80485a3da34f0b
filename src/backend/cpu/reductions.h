// Sums over whole tensors on the CPU, in float64.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "virgil/ops/reductions.h"

namespace virgil::cpu {

[[nodiscard]] std::int64_t reduction_workspace_bytes(std::int64_t num_elements);
void run(const ops::ReduceSum& op, const CpuContext& context);
/// Each square is exact in float64.
void run(const ops::L2Norm& op, const CpuContext& context);

}  // namespace virgil::cpu
