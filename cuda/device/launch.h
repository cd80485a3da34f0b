// How host code starts kernels, and what it must know of the device to choose their shapes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <unordered_map>

#include "cuda/device/gpu.h"
#include "cuda/device/recorded_place.h"
#include "virgil/base/dtype.h"

namespace virgil::cuda {

/// A call of the CUDA runtime or of a CUDA library failed. Backend code turns it into the errors of virgil/base/error.h.
class CudaError : public std::runtime_error {
 public:
  CudaError(cudaError_t code, const std::string& what) : std::runtime_error(what), code_(code) {}
  [[nodiscard]] cudaError_t code() const { return code_; }

 private:
  cudaError_t code_;
};

/// Throws CudaError naming the call unless `code` is success.
inline void check(cudaError_t code, const char* call) {
  if (code != cudaSuccess) throw CudaError(code, std::string(call) + ": " + cudaGetErrorString(code));
}

/// Lets the kernels of one device have more dynamic shared memory than the default, and tells the driver of each once: it is
/// asked before the first launch, not at every one, nor while a stream is captured.
class SharedMemoryLimits {
 public:
  static constexpr std::size_t kDefault = 48 * 1024;  // bytes that every kernel may have

  /// Throws CudaError when the device has not so much.
  void raise(const void* kernel, std::size_t size_bytes) {
    std::size_t& limit = limits_[kernel].size_bytes;
    if (size_bytes <= limit) return;
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(size_bytes)),
          "cudaFuncSetAttribute");
    limit = size_bytes;
  }

 private:
  struct Limit {
    std::size_t size_bytes = kDefault;
  };
  std::unordered_map<const void*, Limit> limits_;
};

/// Where a launcher puts its work, and what the device offers.
struct LaunchContext {
  cudaStream_t stream = nullptr;
  SharedMemoryLimits* smem_limits = nullptr;  // the device's, which the backend owns
  int compute_capability = 80;                // 10 * major + minor
  int num_sms = 1;
  int max_threads_per_sm = 1024;       // of all blocks together: 1,024 to 2,048
  int max_smem_per_block = 48 * 1024;  // opt-in limit of dynamic shared memory, in bytes
  RecordedPlace place = {};            // while a sequence is recorded
};

/// Starts `kernel` on the context's stream. Arguments are converted to the kernel's parameter types.
template <typename... Parameters, typename... Arguments>
void launch(const LaunchContext& context, dim3 grid, dim3 block, std::size_t smem_bytes, void (*kernel)(Parameters...),
            Arguments... arguments) {
  if (smem_bytes > SharedMemoryLimits::kDefault) {
    if (context.smem_limits == nullptr) throw std::logic_error("a launch context without limits of shared memory");
    context.smem_limits->raise(reinterpret_cast<const void*>(kernel), smem_bytes);
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = smem_bytes;
  config.stream = context.stream;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), "cudaLaunchKernelEx");
}

/// Calls function(T{}) with the device type of a float dtype: float, __nv_bfloat16 or __half.
template <typename Function>
decltype(auto) with_device_type(DType dtype, Function&& function) {
  switch (dtype) {
    case DType::kFloat32:
      return function(float{});
    case DType::kBFloat16:
      return function(__nv_bfloat16{});
    case DType::kFloat16:
      return function(__half{});
    case DType::kInt32:
      break;
  }
  throw std::logic_error("no kernel for int32");
}

/// Number of blocks of `size` that cover `count`, as a grid dimension.
[[nodiscard]] inline unsigned blocks_for(std::int64_t count, std::int64_t size) {
  const std::int64_t blocks = (count + size - 1) / size;
  if (blocks < 1 || blocks > 0x7FFFFFFF) throw std::logic_error("a grid of " + std::to_string(blocks) + " blocks");
  return static_cast<unsigned>(blocks);
}

/// Blocks of a grid-stride loop over `count` items, `threads` a block: as many as the device holds at a time, no more than
/// there is work for. For kernels whose results do not depend on the grid.
[[nodiscard]] inline unsigned grid_stride_blocks(const LaunchContext& context, std::int64_t count, int threads) {
  const std::int64_t resident = std::int64_t{std::max(1, context.num_sms)} * std::max(1, context.max_threads_per_sm / threads);
  return blocks_for(std::min(count, resident * threads), threads);
}

/// The workspace as `count` elements of T; throws when it is too small.
template <typename T>
[[nodiscard]] T* workspace_as(std::span<std::byte> workspace, std::int64_t count) {
  if (static_cast<std::int64_t>(workspace.size()) < count * static_cast<std::int64_t>(sizeof(T))) {
    throw std::logic_error("a workspace of " + std::to_string(workspace.size()) + " bytes for " + std::to_string(count) +
                           " elements of " + std::to_string(sizeof(T)));
  }
  return reinterpret_cast<T*>(workspace.data());
}

}  // namespace virgil::cuda
