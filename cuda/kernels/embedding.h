// Token and position embeddings. Shapes and semantics: Backend::embedding_forward and _backward.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cuda/device/launch.h"
#include "virgil/ops/dropout.h"

namespace virgil::cuda {

struct EmbeddingSizes {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t channels = 0;
  std::int64_t vocab_rows = 0;
  std::int64_t first_position = 0;  // forward only
};

/// out (B, T, C) = dropout(wte[tokens] + wpe[first_position + t]); out, wte, wpe of `dtype`; wpe null: of tokens alone.
void embedding_forward(const LaunchContext& context, DType dtype, void* out, const std::int32_t* tokens, const void* wte,
                       const void* wpe, const EmbeddingSizes& sizes, const Dropout& dropout);

/// dwte (Vp, C) +=, dwpe (block, C) +=, float32; dwpe may be null. Rows of one token are added in the order of their positions.
void embedding_backward(const LaunchContext& context, DType dtype, float* dwte, float* dwpe, const void* dout,
                        const std::int32_t* tokens, const EmbeddingSizes& sizes, const Dropout& dropout,
                        std::span<std::byte> workspace);

}  // namespace virgil::cuda
