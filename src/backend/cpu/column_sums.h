// Sums over the rows of a matrix on the CPU.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "virgil/ops/matmul.h"

namespace virgil::cpu {

[[nodiscard]] std::int64_t column_sums_workspace_bytes(std::int64_t rows, std::int64_t channels);
void run(const ops::BiasBackward& op, const CpuContext& context);

/// out (C) += the sum, in order, of `count` rows of C floats that lie `stride` floats apart.
void add_partial_rows(float* out, const float* partials, std::int64_t stride, std::int64_t count, std::int64_t channels,
                      const CpuContext& context);

}  // namespace virgil::cpu
