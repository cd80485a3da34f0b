#include <cstdint>

#include "backend/cpu/attention.h"
#include "backend/cpu/column_sums.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/norm.h"
#include "backend/cpu/reductions.h"

namespace virgil::cpu {

std::int64_t CpuTraits::matmul_workspace_bytes(const MatmulShape& shape) const { return matmul_.workspace_bytes(shape); }

std::int64_t CpuTraits::attention_forward_workspace_bytes(const AttentionShape& shape) const {
  return cpu::attention_forward_workspace_bytes(shape, num_threads_);
}

std::int64_t CpuTraits::attention_backward_workspace_bytes(const AttentionShape& shape) const {
  return cpu::attention_backward_workspace_bytes(shape, num_threads_);
}

std::int64_t CpuTraits::attention_decode_workspace_bytes(const AttentionShape& shape) const {
  return cpu::attention_decode_workspace_bytes(shape, num_threads_);
}

std::int64_t CpuTraits::norm_backward_workspace_bytes(std::int64_t rows, std::int64_t channels) const {
  return cpu::norm_backward_workspace_bytes(rows, channels);
}

std::int64_t CpuTraits::column_sums_workspace_bytes(std::int64_t rows, std::int64_t channels) const {
  return cpu::column_sums_workspace_bytes(rows, channels);
}

std::int64_t CpuTraits::embedding_backward_workspace_bytes(std::int64_t /*rows*/, std::int64_t /*channels*/,
                                                           std::int64_t /*vocab_rows*/) const {
  return 0;  // threads share the channels, so that none adds where another does
}

std::int64_t CpuTraits::reduction_workspace_bytes(std::int64_t num_elements) const {
  return cpu::reduction_workspace_bytes(num_elements);
}

}  // namespace virgil::cpu
