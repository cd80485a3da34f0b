// Softmax cross-entropy over the vocabulary on the CPU.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "virgil/ops/cross_entropy.h"

namespace virgil::cpu {

struct CrossEntropySizes {
  std::int64_t rows = 0;        // N
  std::int64_t columns = 0;     // Vp
  std::int64_t vocab_size = 0;  // V <= Vp
};

/// Throws InternalError on a target of vocab_size or more, as the op below.
void run(const ops::CrossEntropyForward& op, const CpuContext& context);
void run(const ops::CrossEntropyForwardBackward& op, const CpuContext& context);

}  // namespace virgil::cpu
