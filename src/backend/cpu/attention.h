// Causal self-attention on the CPU, of float32 or bfloat16 tensors: FlashAttention-2 (Dao 2023) on register-tiled vector
// kernels.
//
// The T x T matrix never exists: a thread holds one tile of scores. Results have the same bits for any number of threads,
// because each output element is computed by one thread, in an order that depends on the shape alone.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "virgil/backend/backend.h"
#include "virgil/memory/tensor_view.h"

namespace virgil::cpu {

/// Scratch each op takes from CpuContext::workspace, in bytes, alignment included. Independent of the vector instructions.
[[nodiscard]] std::int64_t attention_forward_workspace_bytes(const AttentionShape& shape, int num_threads);
[[nodiscard]] std::int64_t attention_backward_workspace_bytes(const AttentionShape& shape, int num_threads);
/// shape.batch is the number of sequences and shape.length the capacity L of the caches.
[[nodiscard]] std::int64_t attention_decode_workspace_bytes(const AttentionShape& shape, int num_threads);

/// Backend::attention_forward. Throws InternalError on wrong shapes or dtypes or too small a workspace.
void attention_forward(TensorView out, TensorView lse, ConstTensorView qkv, std::int64_t num_heads, const Dropout& dropout,
                       const CpuContext& context);

/// Backend::attention_backward. Throws as attention_forward.
void attention_backward(TensorView dqkv, ConstTensorView dout, ConstTensorView out, ConstTensorView qkv, ConstTensorView lse,
                        std::int64_t num_heads, const Dropout& dropout, const CpuContext& context);

/// Backend::attention_decode. Throws as attention_forward.
void attention_decode(TensorView out, TensorView k_cache, TensorView v_cache, ConstTensorView qkv, std::int64_t num_heads,
                      std::int64_t first_position, const CpuContext& context);

}  // namespace virgil::cpu
