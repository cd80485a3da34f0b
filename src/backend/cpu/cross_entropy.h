// Softmax cross-entropy over the vocabulary on the CPU.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"

namespace virgil::cpu {

struct CrossEntropySizes {
  std::int64_t rows = 0;        // N
  std::int64_t columns = 0;     // Vp
  std::int64_t vocab_size = 0;  // V <= Vp
};

/// losses (N); logits (N, Vp); targets (N), negative: ignored. Throws InternalError on a target of vocab_size or more.
/// T: float or BFloat16, here and below.
template <typename T>
void cross_entropy_forward(float* losses, const T* logits, const std::int32_t* targets, const CrossEntropySizes& sizes,
                           const CpuContext& context);
/// The same losses; logits becomes (softmax - onehot) * grad_scale, 0 in padded columns and ignored rows.
template <typename T>
void cross_entropy_forward_backward(float* losses, T* logits, const std::int32_t* targets, const CrossEntropySizes& sizes,
                                    float grad_scale, const CpuContext& context);

}  // namespace virgil::cpu
