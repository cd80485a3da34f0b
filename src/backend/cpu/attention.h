// Causal self-attention on the CPU, of float32 or bfloat16 tensors: FlashAttention-2 (Dao 2023) on register-tiled vector
// kernels.
//
// The T x T matrix never exists: a thread holds one tile of scores. Results have the same bits for any number of threads,
// because each output element is computed by one thread, in an order that depends on the shape alone.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "virgil/ops/attention.h"

namespace virgil::cpu {

/// Scratch each op takes from CpuContext::workspace, in bytes, alignment included. Independent of the vector instructions.
[[nodiscard]] std::int64_t attention_forward_workspace_bytes(const AttentionShape& shape, int num_threads);
[[nodiscard]] std::int64_t attention_backward_workspace_bytes(const AttentionShape& shape, int num_threads);
/// shape.batch is the number of sequences and shape.length the capacity L of the caches.
[[nodiscard]] std::int64_t attention_decode_workspace_bytes(const AttentionShape& shape, int num_threads);

/// Throws InternalError on too small a workspace, as the ops below.
void run(const ops::AttentionForward& op, const CpuContext& context);
void run(const ops::AttentionBackward& op, const CpuContext& context);
void run(const ops::AttentionDecode& op, const CpuContext& context);

}  // namespace virgil::cpu
