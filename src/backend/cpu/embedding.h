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
/// Element: float or BFloat16, here and below.
template <typename Element>
void embedding_forward(Element* out, const std::int32_t* tokens, const Element* wte, const Element* wpe,
                       const EmbeddingSizes& sizes, const Dropout& dropout, const CpuContext& context);

/// dwte (Vp, C) +=, dwpe (block, C) += from dout (B, T, C). Throws as embedding_forward.
template <typename Element>
void embedding_backward(float* dwte, float* dwpe, const Element* dout, const std::int32_t* tokens, const EmbeddingSizes& sizes,
                        const Dropout& dropout, const CpuContext& context);

}  // namespace virgil::cpu
