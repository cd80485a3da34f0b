#include "cuda/cuda_traits.h"

#include <cstdint>

#include "cuda/kernels/attention.h"
#include "cuda/kernels/column_sums.h"
#include "cuda/kernels/embedding.h"
#include "cuda/kernels/layernorm.h"
#include "cuda/kernels/reductions.h"

namespace virgil::cuda {

namespace {

AttentionSizes sizes_of(const AttentionShape& shape) {
  return {.batch = shape.batch,
          .length = shape.length,
          .num_heads = shape.num_heads,
          .head_size = shape.head_size,
          .dtype = shape.dtype};
}

}  // namespace

std::int64_t CudaTraits::attention_forward_workspace_bytes(const AttentionShape& shape) const {
  if (cudnn_ != nullptr) return cudnn_->forward_workspace_bytes(sizes_of(shape));
  return cuda::attention_forward_workspace_bytes(sizes_of(shape));
}

std::int64_t CudaTraits::attention_backward_workspace_bytes(const AttentionShape& shape) const {
  if (cudnn_ != nullptr) return cudnn_->backward_workspace_bytes(sizes_of(shape));
  return cuda::attention_backward_workspace_bytes(sizes_of(shape));
}

std::int64_t CudaTraits::attention_decode_workspace_bytes(const AttentionShape& shape) const {
  return cuda::attention_decode_workspace_bytes(sizes_of(shape));
}

std::int64_t CudaTraits::layernorm_backward_workspace_bytes(std::int64_t rows, std::int64_t channels) const {
  return cuda::layernorm_backward_workspace_bytes(rows, channels);
}

std::int64_t CudaTraits::bias_backward_workspace_bytes(std::int64_t rows, std::int64_t channels) const {
  return cuda::bias_backward_workspace_bytes(rows, channels);
}

std::int64_t CudaTraits::embedding_backward_workspace_bytes(std::int64_t rows, std::int64_t channels,
                                                            std::int64_t vocab_rows) const {
  return cuda::embedding_backward_workspace_bytes(rows, channels, vocab_rows);
}

std::int64_t CudaTraits::reduction_workspace_bytes(std::int64_t num_elements) const {
  return cuda::reduction_workspace_bytes(num_elements);
}

}  // namespace virgil::cuda
