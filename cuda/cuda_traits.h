// Alignment, types and scratch sizes of the CUDA backend's ops. They follow from the sizes and the compute capability alone, so
// that a run can be planned for a GPU without having one: this file and its source need nothing of CUDA.
#pragma once

#include <cstdint>

#include <vector>

#include "virgil/backend/backend.h"

namespace virgil::cuda {

inline constexpr std::int64_t kDeviceAlignment = 256;  // cudaMalloc's

/// Scratch in bytes that every product is given, as NVIDIA recommends for the architecture.
[[nodiscard]] std::int64_t matmul_workspace_bytes(int compute_capability);

/// Backend::dtypes() on a GPU of that compute capability (80: 8.0).
[[nodiscard]] std::vector<DType> device_dtypes(int compute_capability);

class CudaTraits : public BackendTraits {
 public:
  explicit CudaTraits(int compute_capability) : compute_capability_(compute_capability) {}

  [[nodiscard]] std::int64_t alignment_bytes() const override { return kDeviceAlignment; }
  /// A quarter of a GiB hides the gradient of the embedding, which each chunk reads and writes, behind the products' arithmetic
  /// (docs/kernels.md, "Predicted steps"); whole tiles of these products are 128 rows.
  [[nodiscard]] LogitsChunk logits_chunk() const override {
    return {.size_bytes = std::int64_t{256} << 20, .row_multiple = 128};
  }
  [[nodiscard]] std::int64_t matmul_workspace_bytes(const MatmulShape& /*shape*/) const override {
    return cuda::matmul_workspace_bytes(compute_capability_);
  }
  [[nodiscard]] std::int64_t attention_forward_workspace_bytes(const AttentionShape& shape) const override;
  [[nodiscard]] std::int64_t attention_backward_workspace_bytes(const AttentionShape& shape) const override;
  [[nodiscard]] std::int64_t attention_decode_workspace_bytes(const AttentionShape& shape) const override;
  [[nodiscard]] std::int64_t norm_backward_workspace_bytes(std::int64_t rows, std::int64_t channels) const override;
  [[nodiscard]] std::int64_t column_sums_workspace_bytes(std::int64_t rows, std::int64_t channels) const override;
  [[nodiscard]] std::int64_t embedding_backward_workspace_bytes(std::int64_t rows, std::int64_t channels,
                                                                std::int64_t vocab_rows) const override;
  [[nodiscard]] std::int64_t reduction_workspace_bytes(std::int64_t num_elements) const override;

 private:
  int compute_capability_;
};

}  // namespace virgil::cuda
