// Attention by cuDNN in a program that was built without it.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "cuda/cudnn_attention.h"
#include "virgil/base/error.h"

namespace virgil::cuda {

struct CudnnAttention::Parts {};

namespace {

[[noreturn]] void refuse() {
  throw user_error(
      "attention is cudnn, and this program was built without cuDNN: pip install nvidia-cudnn-frontend nvidia-cudnn-cu13 (cu12 "
      "for CUDA 12) in a virtual environment, and with it active build again with -DVIRGIL_CUDNN=ON (docs/gpu.md); or use "
      "--attention virgil");
}

}  // namespace

CudnnAttention::CudnnAttention(const LaunchContext& /*context*/) { refuse(); }
CudnnAttention::CudnnAttention(const LaunchContext& /*context*/, std::string_view /*device_json*/) { refuse(); }
CudnnAttention::~CudnnAttention() = default;

std::int64_t CudnnAttention::forward_workspace_bytes(const AttentionSizes& /*sizes*/) { refuse(); }
std::int64_t CudnnAttention::backward_workspace_bytes(const AttentionSizes& /*sizes*/) { refuse(); }
void CudnnAttention::forward(const AttentionSizes& /*sizes*/, void* /*out*/, float* /*lse*/, const void* /*qkv*/,
                             const Dropout& /*dropout*/, std::span<std::byte> /*workspace*/) {
  refuse();
}
void CudnnAttention::backward(const AttentionSizes& /*sizes*/, void* /*dqkv*/, const void* /*dout*/, const void* /*out*/,
                              const void* /*qkv*/, const float* /*lse*/, const Dropout& /*dropout*/,
                              std::span<std::byte> /*workspace*/) {
  refuse();
}
std::string CudnnAttention::library_version() const { refuse(); }

}  // namespace virgil::cuda
