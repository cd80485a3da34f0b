// The CUDA backend: checks the arguments of each op and launches the kernels of its family on one stream.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cuda/attention_route.h"
#include "cuda/cublaslt_matmul.h"
#include "cuda/cuda_traits.h"
#include "cuda/device/launch.h"
#include "cuda/device_resource.h"
#include "cuda/handles.h"
#include "cuda/staged_upload.h"
#include "virgil/backend/backend.h"
#include "virgil/backend/cuda_backend.h"
#include "virgil/memory/buffer.h"

namespace virgil::cuda {

/// Ops return when they are queued; copy_to_host and synchronize() wait. Throws CudaError where the device failed.
class CudaBackend final : public Backend {
 public:
  /// The device exists and the program has code for it; see make_cuda_backend(). `used_before`: by all programs, before this
  /// one had a context, as used_by_all() tells.
  CudaBackend(const CudaOptions& options, std::optional<std::int64_t> used_before);
  CudaBackend(const CudaBackend&) = delete;
  CudaBackend& operator=(const CudaBackend&) = delete;

  [[nodiscard]] std::string description() const override;
  [[nodiscard]] const BackendTraits& traits() const override { return *traits_; }
  [[nodiscard]] MemoryResource& memory() override { return memory_; }
  [[nodiscard]] std::int64_t available_bytes() const override;
  /// As the driver told it a second ago at most, and after the last allocation and the last recording of ours.
  [[nodiscard]] std::optional<DeviceMemory> device_memory() const override;
  [[nodiscard]] std::span<const DType> dtypes() const override { return dtypes_; }

  /// What this backend's kernels are launched with; its stream runs all that the ops below ask for, in their order.
  [[nodiscard]] const LaunchContext& launch_context() const { return context_; }
  /// As cudaSetDevice counts.
  [[nodiscard]] int device() const { return options_.device; }

  void bind_workspace(std::span<std::byte> workspace) override;
  void copy_from_host(TensorView dst, std::span<const std::byte> src) override;
  void copy_to_host(std::span<std::byte> dst, ConstTensorView src) override;
  void copy(TensorView dst, ConstTensorView src) override;
  void set_zero(TensorView dst) override;
  void convert(TensorView dst, ConstTensorView src) override;
  void synchronize() override;
  /// Where options.graphs: runs the ops once, records them as a CUDA graph at the second run, and repeats that from then on.
  [[nodiscard]] std::unique_ptr<OpSequence> make_sequence() override;

  /// Tokens are not checked: looking at them would stop the host.
  void embedding_forward(TensorView out, ConstTensorView tokens, ConstTensorView wte, ConstTensorView wpe,
                         std::int64_t first_position, const Dropout& dropout) override;
  void embedding_backward(TensorView dwte, TensorView dwpe, ConstTensorView dout, ConstTensorView tokens,
                          const Dropout& dropout) override;
  void layernorm_forward(TensorView out, TensorView mean, TensorView rstd, ConstTensorView inp, ConstTensorView weight,
                         ConstTensorView bias) override;
  void residual_layernorm_forward(TensorView residual_out, TensorView out, TensorView mean, TensorView rstd,
                                  ConstTensorView residual, ConstTensorView branch, ConstTensorView weight,
                                  ConstTensorView bias, const Dropout& dropout) override;
  void layernorm_backward(TensorView dinp, TensorView dweight, TensorView dbias, ConstTensorView dout, ConstTensorView inp,
                          ConstTensorView weight, ConstTensorView mean, ConstTensorView rstd) override;
  void dropout_backward(TensorView dinp, ConstTensorView dout, const Dropout& dropout) override;
  void matmul(TensorView out, ConstTensorView a, ConstTensorView b, ConstTensorView bias,
              const MatmulOptions& options) override;
  void bias_backward(TensorView dbias, ConstTensorView dout) override;
  void gelu_forward(TensorView out, ConstTensorView inp) override;
  void gelu_backward(TensorView dinp, ConstTensorView dout, ConstTensorView inp) override;
  void matmul_gelu_backward(TensorView dinp, ConstTensorView dout, ConstTensorView weight, ConstTensorView hidden) override;
  void attention_forward(TensorView out, TensorView lse, ConstTensorView qkv, std::int64_t num_heads,
                         const Dropout& dropout) override;
  void attention_backward(TensorView dqkv, ConstTensorView dout, ConstTensorView out, ConstTensorView qkv, ConstTensorView lse,
                          std::int64_t num_heads, const Dropout& dropout) override;
  void attention_decode(TensorView out, TensorView k_cache, TensorView v_cache, ConstTensorView qkv, std::int64_t num_heads,
                        std::int64_t first_position) override;
  void cross_entropy_forward(TensorView losses, ConstTensorView logits, ConstTensorView targets,
                             std::int64_t vocab_size) override;
  void cross_entropy_forward_backward(TensorView losses, TensorView logits, ConstTensorView targets, std::int64_t vocab_size,
                                      float grad_scale) override;
  void reduce_sum(TensorView out, ConstTensorView inp) override;
  void l2_norm(TensorView out, ConstTensorView inp, float scale) override;
  void adamw_update(TensorView param, TensorView working, TensorView m, TensorView v, ConstTensorView grad,
                    ConstTensorView norm, const AdamWStep& step) override;

 private:
  class GraphSequence;

  struct MemoryReading {
    DeviceBytes bytes = {};
    std::uint64_t changes = 0;  // of ours that the driver has counted
    std::chrono::steady_clock::time_point time = {};
  };

  /// The bound workspace, of which the op named `op` needs `needed_bytes`.
  [[nodiscard]] std::span<std::byte> workspace(const char* op, std::int64_t needed_bytes) const;
  void expect_supported(const char* op, DType dtype) const;
  /// Throws InternalError while a sequence is recorded.
  void expect_not_recording(const char* call) const;

  CudaOptions options_;
  std::string device_name_;
  Stream stream_;
  SharedMemoryLimits smem_limits_;
  LaunchContext context_;  // refers to the limits
  CublasLtMatmul matmul_;
  AttentionRoute attention_;
  std::unique_ptr<const CudaTraits> traits_;
  DeviceResource memory_;
  Buffer place_;  // one RandomPlace, that of the graph which runs; empty without graphs
  StagedUpload upload_;
  std::vector<DType> dtypes_;
  std::int64_t context_bytes_ = 0;  // DeviceMemory's
  std::int64_t others_bytes_ = 0;
  std::uint64_t num_graphs_ = 0;  // recorded so far
  mutable MemoryReading reading_;
  std::span<std::byte> workspace_;
};

}  // namespace virgil::cuda
