// The way back through dropout on the CPU.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "virgil/backend/dropout.h"

namespace virgil::cpu {

/// dinp (B, T, C) = dout * multiplier; `rows` = B * T, `length` = T. Elements are float or BFloat16.
template <typename Element>
void dropout_backward(Element* dinp, const Element* dout, std::int64_t rows, std::int64_t length, std::int64_t channels,
                      const Dropout& dropout, const CpuContext& context);

}  // namespace virgil::cpu
