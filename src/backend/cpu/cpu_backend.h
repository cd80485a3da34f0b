// The CPU backend: checks the arguments of each op and calls the function of its family.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "backend/cpu/cpu_context.h"
#include "backend/cpu/first_touch.h"
#include "backend/cpu/matmul.h"
#include "virgil/backend/backend.h"

namespace virgil::cpu {

/// Scratch sizes of the CPU's ops. Refers to the backend's matrix products, which it must not outlive.
class CpuTraits final : public BackendTraits {
 public:
  CpuTraits(int num_threads, const OneDnnMatmul& matmul) : num_threads_(num_threads), matmul_(matmul) {}

  [[nodiscard]] std::int64_t alignment_bytes() const override { return HostMemoryResource::kAlignment; }
  [[nodiscard]] LogitsChunk logits_chunk() const override { return {.size_bytes = std::int64_t{64} << 20}; }
  [[nodiscard]] std::int64_t matmul_workspace_bytes(const MatmulShape& shape) const override;
  [[nodiscard]] std::int64_t attention_forward_workspace_bytes(const AttentionShape& shape) const override;
  [[nodiscard]] std::int64_t attention_backward_workspace_bytes(const AttentionShape& shape) const override;
  [[nodiscard]] std::int64_t attention_decode_workspace_bytes(const AttentionShape& shape) const override;
  [[nodiscard]] std::int64_t norm_backward_workspace_bytes(std::int64_t rows, std::int64_t channels) const override;
  [[nodiscard]] std::int64_t column_sums_workspace_bytes(std::int64_t rows, std::int64_t channels) const override;
  [[nodiscard]] std::int64_t embedding_backward_workspace_bytes(std::int64_t rows, std::int64_t channels,
                                                                std::int64_t vocab_rows) const override;
  [[nodiscard]] std::int64_t reduction_workspace_bytes(std::int64_t num_elements) const override;

 private:
  int num_threads_;
  const OneDnnMatmul& matmul_;
};

class CpuBackend final : public Backend {
 public:
  /// options.num_threads is at least 1.
  explicit CpuBackend(const CpuOptions& options);
  CpuBackend(const CpuBackend&) = delete;
  CpuBackend& operator=(const CpuBackend&) = delete;

  [[nodiscard]] std::string description() const override;
  [[nodiscard]] const BackendTraits& traits() const override { return traits_; }
  [[nodiscard]] MemoryResource& memory() override { return memory_; }
  [[nodiscard]] std::int64_t available_bytes() const override;
  [[nodiscard]] std::span<const DType> dtypes() const override;

  void bind_workspace(std::span<std::byte> workspace) override;
  void copy_from_host(TensorView dst, std::span<const std::byte> src) override;
  void copy_to_host(std::span<std::byte> dst, ConstTensorView src) override;
  void synchronize() override {}
  void run(const Call& call) override;

 private:
  [[nodiscard]] CpuContext context() const { return {num_threads_, workspace_, native_bfloat16_, &matmul_}; }

  int num_threads_;
  bool native_bfloat16_;
  FirstTouchResource memory_;
  OneDnnMatmul matmul_;
  CpuTraits traits_;
  std::span<std::byte> workspace_;
};

}  // namespace virgil::cpu
