// Alignment and scratch sizes of the CUDA backend's ops. They do not depend on the GPU's model, except for matrix
// products and for attention by cuDNN, which only tells them once it has built its plan on the device.
#pragma once

#include <cstdint>

#include "cuda/cudnn_attention.h"
#include "cuda/device_resource.h"
#include "virgil/backend/backend.h"

namespace virgil::cuda {

class CudaTraits final : public BackendTraits {
 public:
  /// cudnn computes attention where it is not null, and outlives the traits.
  CudaTraits(std::int64_t matmul_workspace_bytes, CudnnAttention* cudnn)
      : matmul_workspace_bytes_(matmul_workspace_bytes), cudnn_(cudnn) {}

  [[nodiscard]] std::int64_t alignment_bytes() const override { return DeviceResource::kAlignment; }
  /// A quarter of a GiB hides the gradient of the embedding, which each chunk reads and writes, behind the products' arithmetic
  /// (docs/kernels.md, "Predicted steps"); whole tiles of these products are 128 rows.
  [[nodiscard]] LogitsChunk logits_chunk() const override {
    return {.size_bytes = std::int64_t{256} << 20, .row_multiple = 128};
  }
  [[nodiscard]] std::int64_t matmul_workspace_bytes(const MatmulShape& /*shape*/) const override {
    return matmul_workspace_bytes_;
  }
  [[nodiscard]] std::int64_t attention_forward_workspace_bytes(const AttentionShape& shape) const override;
  [[nodiscard]] std::int64_t attention_backward_workspace_bytes(const AttentionShape& shape) const override;
  [[nodiscard]] std::int64_t attention_decode_workspace_bytes(const AttentionShape& shape) const override;
  [[nodiscard]] std::int64_t layernorm_backward_workspace_bytes(std::int64_t rows, std::int64_t channels) const override;
  [[nodiscard]] std::int64_t bias_backward_workspace_bytes(std::int64_t rows, std::int64_t channels) const override;
  [[nodiscard]] std::int64_t embedding_backward_workspace_bytes(std::int64_t rows, std::int64_t channels,
                                                                std::int64_t vocab_rows) const override;
  [[nodiscard]] std::int64_t reduction_workspace_bytes(std::int64_t num_elements) const override;

 private:
  std::int64_t matmul_workspace_bytes_;
  CudnnAttention* cudnn_;
};

}  // namespace virgil::cuda
