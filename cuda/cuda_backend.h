// The CUDA backend: checks the arguments of each op and launches the kernels of its family on one stream.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
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
  void synchronize() override;
  /// Where options.graphs: runs the ops once, records them as a CUDA graph at the second run, and repeats that from then on.
  [[nodiscard]] std::unique_ptr<OpSequence> make_sequence() override;

  /// Tokens are not checked: looking at them would stop the host.
  void run(const Call& call) override;

 private:
  class GraphSequence;
  class Ops;

  struct MemoryReading {
    DeviceBytes bytes = {};
    std::uint64_t changes = 0;  // of ours that the driver has counted
    std::chrono::steady_clock::time_point time = {};
  };

  /// The bound workspace, of which the op named `op` needs `needed_bytes`.
  [[nodiscard]] std::span<std::byte> workspace(std::string_view op, std::int64_t needed_bytes) const;
  void expect_supported(std::string_view op, DType dtype) const;
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
