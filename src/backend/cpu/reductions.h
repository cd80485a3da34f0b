// Sums over whole tensors on the CPU, in float64.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"

namespace virgil::cpu {

[[nodiscard]] std::int64_t reduction_workspace_bytes(std::int64_t num_elements);
/// The sum of inp. T: float or BFloat16, here and below.
template <typename T>
[[nodiscard]] double sum(const T* inp, std::int64_t num_elements, const CpuContext& context);
/// The sum of squares of inp: each square is exact in float64.
template <typename T>
[[nodiscard]] double sum_of_squares(const T* inp, std::int64_t num_elements, const CpuContext& context);

}  // namespace virgil::cpu
