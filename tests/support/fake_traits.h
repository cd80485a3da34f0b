// Backend traits without a backend, for tests of planning.
#pragma once

#include <cstdint>
#include <functional>

#include "virgil/backend/backend.h"

namespace virgil::test_support {

/// Every size is asked from a member that a test may replace; all default to nothing.
struct FakeTraits final : BackendTraits {
  std::int64_t alignment = 64;
  LogitsChunk chunk = {.size_bytes = std::int64_t{64} << 20};
  std::function<std::int64_t(const MatmulShape&)> matmul = [](const MatmulShape&) { return 0; };
  std::int64_t attention_forward = 0;
  std::int64_t attention_backward = 0;
  std::int64_t attention_decode = 0;
  std::int64_t norm_backward = 0;
  std::int64_t bias_backward = 0;
  std::int64_t embedding_backward = 0;
  std::function<std::int64_t(std::int64_t)> reduction = [](std::int64_t) { return 0; };

  [[nodiscard]] std::int64_t alignment_bytes() const override { return alignment; }
  [[nodiscard]] LogitsChunk logits_chunk() const override { return chunk; }
  [[nodiscard]] std::int64_t matmul_workspace_bytes(const MatmulShape& shape) const override { return matmul(shape); }
  [[nodiscard]] std::int64_t attention_forward_workspace_bytes(const AttentionShape&) const override {
    return attention_forward;
  }
  [[nodiscard]] std::int64_t attention_backward_workspace_bytes(const AttentionShape&) const override {
    return attention_backward;
  }
  [[nodiscard]] std::int64_t attention_decode_workspace_bytes(const AttentionShape&) const override { return attention_decode; }
  [[nodiscard]] std::int64_t norm_backward_workspace_bytes(std::int64_t, std::int64_t) const override { return norm_backward; }
  [[nodiscard]] std::int64_t column_sums_workspace_bytes(std::int64_t, std::int64_t) const override { return bias_backward; }
  [[nodiscard]] std::int64_t embedding_backward_workspace_bytes(std::int64_t, std::int64_t, std::int64_t) const override {
    return embedding_backward;
  }
  [[nodiscard]] std::int64_t reduction_workspace_bytes(std::int64_t num_elements) const override {
    return reduction(num_elements);
  }
};

}  // namespace virgil::test_support
