// Causal attention by cuDNN's fused kernels: a peer to race against attention.h, never a requirement. cudnn_attention.cpp is
// compiled where cuDNN and its frontend's headers are found (cmake/FindCudnn.cmake); elsewhere no_cudnn.cpp, which refuses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "cuda/device/launch.h"
#include "cuda/kernels/attention.h"
#include "virgil/ops/dropout.h"

namespace virgil::cuda {

/// Forward and backward passes with the semantics of Backend::attention_*, in bfloat16 and float16, without dropout; the
/// backward pass by a deterministic algorithm. Sizes that cuDNN has no kernel for throw UserError with its reason: at least
/// float32, and backward passes of a single position.
class CudnnAttention {
 public:
  /// Works on the context's stream, on the current device. Throws UserError, saying what to install or choose: a program built
  /// without cuDNN, no library or one too old, a GPU older than sm_80.
  explicit CudnnAttention(const LaunchContext& context);
  /// Plans without a device, for one that `device_json` describes in cuDNN's own format: tells workspaces, and computes
  /// nothing. For tests.
  CudnnAttention(const LaunchContext& context, std::string_view device_json);
  ~CudnnAttention();
  CudnnAttention(const CudnnAttention&) = delete;
  CudnnAttention& operator=(const CudnnAttention&) = delete;

  /// Scratch in bytes. The first call for a size builds and keeps cuDNN's execution plan, which takes up to some seconds.
  [[nodiscard]] std::int64_t forward_workspace_bytes(const AttentionSizes& sizes);
  [[nodiscard]] std::int64_t backward_workspace_bytes(const AttentionSizes& sizes);

  /// out (B, T, C), lse (B, NH, T) natural log; qkv (B, T, 3C). Only queues work, also while the stream is being captured; what
  /// was captured needs this object to live on.
  void forward(const AttentionSizes& sizes, void* out, float* lse, const void* qkv, const Dropout& dropout,
               std::span<std::byte> workspace);
  /// dqkv (B, T, 3C).
  void backward(const AttentionSizes& sizes, void* dqkv, const void* dout, const void* out, const void* qkv, const float* lse,
                const Dropout& dropout, std::span<std::byte> workspace);

  /// Of the library that was loaded, such as "9.19.0".
  [[nodiscard]] std::string library_version() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace virgil::cuda
