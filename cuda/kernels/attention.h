// Causal self-attention that never stores T x T (Dao: "FlashAttention-2", 2023). Semantics: Backend::attention_*.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cuda/device/launch.h"
#include "virgil/ops/dropout.h"

namespace virgil::cuda {

struct AttentionSizes {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t num_heads = 0;
  std::int64_t head_size = 0;  // a multiple of 8 up to 128
  DType dtype = DType::kFloat32;
};

/// out (B, T, C), lse (B, NH, T) natural log; qkv (B, T, 3C).
void attention_forward(const LaunchContext& context, const AttentionSizes& sizes, void* out, float* lse, const void* qkv,
                       const Dropout& dropout, std::span<std::byte> workspace);

/// dqkv (B, T, 3C).
void attention_backward(const LaunchContext& context, const AttentionSizes& sizes, void* dqkv, const void* dout,
                        const void* out, const void* qkv, const float* lse, const Dropout& dropout,
                        std::span<std::byte> workspace);

/// Operands of generation with a cache; sizes.length is the cache's length L.
struct AttentionDecode {
  void* out = nullptr;        // (S, n, C)
  void* k_cache = nullptr;    // (S, NH, L, HS), rows first_position.. are written
  void* v_cache = nullptr;    // the same
  const void* qkv = nullptr;  // (S, n, 3C)
  std::int64_t new_rows = 0;  // n
  std::int64_t first_position = 0;
};
void attention_decode(const LaunchContext& context, const AttentionSizes& sizes, const AttentionDecode& operands,
                      std::span<std::byte> workspace);

}  // namespace virgil::cuda
