// Softmax cross-entropy over the first vocab_size of vocab_padded columns. Semantics: Backend::cross_entropy_*.
#pragma once

#include <cstdint>

#include "cuda/device/launch.h"

namespace virgil::cuda {

/// losses (N) float32; a negative target is ignored: its loss is 0.
void cross_entropy_forward(const LaunchContext& context, DType dtype, float* losses, const void* logits,
                           const std::int32_t* targets, std::int64_t rows, std::int64_t vocab_padded, std::int64_t vocab_size);
/// The same losses, and logits become (softmax - onehot) * grad_scale, 0 in padded columns and ignored rows.
void cross_entropy_forward_backward(const LaunchContext& context, DType dtype, float* losses, void* logits,
                                    const std::int32_t* targets, std::int64_t rows, std::int64_t vocab_padded,
                                    std::int64_t vocab_size, float grad_scale);

}  // namespace virgil::cuda
