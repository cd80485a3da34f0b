// Copies and fills on the CPU.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "virgil/ops/copies.h"

namespace virgil::cpu {

/// By several threads. The two do not overlap.
void copy_bytes(void* dst, const void* src, std::int64_t size_bytes, int num_threads);

void run(const ops::SetZero& op, const CpuContext& context);
void run(const ops::Copy& op, const CpuContext& context);

}  // namespace virgil::cpu
