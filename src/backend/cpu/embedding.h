// Token and position embeddings on the CPU.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "virgil/ops/embedding.h"

namespace virgil::cpu {

struct EmbeddingSizes {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t channels = 0;
  std::int64_t vocab_rows = 0;
  std::int64_t first_position = 0;
};

/// Throws InternalError on a token outside [0, vocab_rows), as the op below.
void run(const ops::EmbeddingForward& op, const CpuContext& context);
void run(const ops::EmbeddingBackward& op, const CpuContext& context);

}  // namespace virgil::cpu
