// Token and position embeddings on the CPU.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "virgil/backend/dropout.h"

namespace virgil::cpu {

struct EmbeddingSizes {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t channels = 0;
  std::int64_t vocab_rows = 0;
  std::int64_t first_position = 0;
};

/// out (B, T, C) = dropout(wte[tokens] + wpe[first_position + t]). Throws InternalError on a token outside [0, vocab_rows).
void embedding_forward(float* out, const std::int32_t* tokens, const float* wte, const float* wpe, const EmbeddingSizes& sizes,
                       const Dropout& dropout, const CpuContext& context);

/// dwte (Vp, C) +=, dwpe (block, C) += from dout (B, T, C). Throws as embedding_forward.
void embedding_backward(float* dwte, float* dwpe, const float* dout, const std::int32_t* tokens, const EmbeddingSizes& sizes,
                        const Dropout& dropout, const CpuContext& context);

}  // namespace virgil::cpu
