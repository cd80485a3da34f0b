// Backend traits for plans without a device.
#pragma once

#include <cstdint>

#include "virgil/backend/backend.h"

namespace virgil {

/// The traits to plan with where no device is at hand: figures that are the same everywhere. A matrix product may copy its
/// second operand and the sums that it adds; attention keeps tiles of a head for each of a few threads. The CPU backend with up
/// to kPlanningThreads threads takes at most this; a library's product may take more on very many.
class PlanningTraits final : public BackendTraits {
 public:
  static constexpr std::int64_t kPlanningThreads = 8;
  [[nodiscard]] std::int64_t alignment_bytes() const override { return HostMemoryResource::kAlignment; }
  /// The CUDA backend's, the larger one.
  [[nodiscard]] LogitsChunk logits_chunk() const override {
    return {.size_bytes = std::int64_t{256} << 20, .row_multiple = 128};
  }
  [[nodiscard]] std::int64_t matmul_workspace_bytes(const MatmulShape& shape) const override;
  [[nodiscard]] std::int64_t attention_forward_workspace_bytes(const AttentionShape& shape) const override;
  [[nodiscard]] std::int64_t attention_backward_workspace_bytes(const AttentionShape& shape) const override;
  [[nodiscard]] std::int64_t attention_decode_workspace_bytes(const AttentionShape& shape) const override;
  [[nodiscard]] std::int64_t norm_backward_workspace_bytes(std::int64_t rows, std::int64_t channels) const override;
  [[nodiscard]] std::int64_t column_sums_workspace_bytes(std::int64_t rows, std::int64_t channels) const override;
  [[nodiscard]] std::int64_t embedding_backward_workspace_bytes(std::int64_t rows, std::int64_t channels,
                                                                std::int64_t vocab_rows) const override;
  [[nodiscard]] std::int64_t reduction_workspace_bytes(std::int64_t num_elements) const override;
};

}  // namespace virgil
