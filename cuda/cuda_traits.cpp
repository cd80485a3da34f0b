#include "cuda/cuda_traits.h"

#include <cstdint>
#include <memory>

#include "cuda/kernels/piece_sizes.h"
#include "virgil/backend/cuda_backend.h"

namespace virgil {

namespace cuda {

namespace {

constexpr std::int64_t kFloatBytes = 4;
constexpr std::int64_t kDoubleBytes = 8;

}  // namespace

std::int64_t matmul_workspace_bytes(int compute_capability) {
  constexpr std::int64_t kMiB = std::int64_t{1} << 20;
  return compute_capability >= 90 ? 32 * kMiB : 4 * kMiB;
}

std::vector<DType> device_dtypes(int compute_capability) {
  // bfloat16 needs tensor cores of sm_80; before them float16's are faster than float32.
  if (compute_capability >= 80) return {DType::kBFloat16, DType::kFloat16, DType::kFloat32};
  return {DType::kFloat16, DType::kFloat32};
}

std::int64_t CudaTraits::attention_forward_workspace_bytes(const AttentionShape& /*shape*/) const { return 0; }

std::int64_t CudaTraits::attention_backward_workspace_bytes(const AttentionShape& shape) const {
  return shape.batch * shape.num_heads * AttentionStatistics::padded_length(shape.length) * AttentionStatistics::kRowBytes;
}

std::int64_t CudaTraits::attention_decode_workspace_bytes(const AttentionShape& shape) const {
  return shape.batch * shape.num_heads * (DecodeSplits::kManyRows - 1) * DecodeSplits::count(shape.length) *
         DecodeSplits::floats(shape.head_size) * kFloatBytes;
}

std::int64_t CudaTraits::norm_backward_workspace_bytes(std::int64_t rows, std::int64_t channels) const {
  return 2 * NormPieces::count(rows, channels) * channels * kFloatBytes;
}

std::int64_t CudaTraits::column_sums_workspace_bytes(std::int64_t rows, std::int64_t channels) const {
  return ColumnPieces::count(rows) * channels * kFloatBytes;
}

std::int64_t CudaTraits::embedding_backward_workspace_bytes(std::int64_t rows, std::int64_t channels,
                                                            std::int64_t vocab_rows) const {
  return (TokenChunks::slots(rows) * channels + SortTiles::scratch_numbers(rows, vocab_rows)) * kFloatBytes;
}

std::int64_t CudaTraits::reduction_workspace_bytes(std::int64_t num_elements) const {
  return ReductionPieces::count(num_elements) * kDoubleBytes;
}

}  // namespace cuda

PlannedDevice planned_cuda_device(int compute_capability) {
  return {.traits = std::make_shared<cuda::CudaTraits>(compute_capability), .dtypes = cuda::device_dtypes(compute_capability)};
}

}  // namespace virgil
