#include "cuda/attention_route.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "virgil/base/error.h"

namespace virgil::cuda {

namespace {

/// mma.sync reaches about two thirds of the tensor cores of sm_90, whose own instructions cuDNN has; on no other GPU is either
/// known to be the faster one.
constexpr int kGenerationOfCudnn = 9;

/// The reason in a refusal of cuDNN's, which begins as for one who has insisted on it.
std::string reason_of(const UserError& error) {
  constexpr std::string_view kBegin = "attention is cudnn, and ";
  const std::string_view what = error.what();
  return std::string(what.starts_with(kBegin) ? what.substr(kBegin.size()) : what);
}

std::unique_ptr<CudnnAttention> make_cudnn(const CudaOptions& options, const LaunchContext& context) {
  if (options.attention == AttentionKernels::kVirgil) return nullptr;
  if (options.attention == AttentionKernels::kCudnn) return std::make_unique<CudnnAttention>(context);
  if (context.compute_capability / 10 != kGenerationOfCudnn) return nullptr;
  try {
    return std::make_unique<CudnnAttention>(context);
  } catch (const UserError& error) {
    if (options.note) {
      options.note(fmt::format("attention is auto, and by Virgil's kernels, where cuDNN's should be faster on this GPU: {}",
                               reason_of(error)));
    }
    return nullptr;
  }
}

}  // namespace

AttentionSizes attention_sizes(const AttentionShape& shape) {
  return {.batch = shape.batch,
          .length = shape.length,
          .num_heads = shape.num_heads,
          .num_kv_heads = shape.kv_heads(),
          .head_size = shape.head_size,
          .dtype = shape.dtype,
          .window = shape.window};
}

AttentionRoute::AttentionRoute(const CudaOptions& options, const LaunchContext& context)
    : insists_(options.attention == AttentionKernels::kCudnn), note_(options.note), cudnn_(make_cudnn(options, context)) {}

CudnnAttention* AttentionRoute::cudnn_for(const AttentionShape& shape, bool drops) {
  if (cudnn_ == nullptr || insists_) return cudnn_.get();
  if (drops || shape.dtype == DType::kFloat32) return nullptr;
  const Key key{shape.batch, shape.length, shape.num_heads, shape.kv_heads(), shape.head_size, shape.dtype, shape.window};
  auto found = taken_.find(key);
  if (found == taken_.end()) found = taken_.emplace(key, computes(shape)).first;
  return found->second ? cudnn_.get() : nullptr;
}

bool AttentionRoute::computes(const AttentionShape& shape) const {
  try {
    static_cast<void>(cudnn_->forward_workspace_bytes(attention_sizes(shape)));
    static_cast<void>(cudnn_->backward_workspace_bytes(attention_sizes(shape)));
    return true;
  } catch (const UserError& error) {
    if (note_) note_(fmt::format("attention is auto, and by Virgil's kernels for these sizes: {}", reason_of(error)));
    return false;
  }
}

std::string AttentionRoute::description() const {
  return cudnn_ ? fmt::format("attention by cuDNN {}", cudnn_->library_version()) : "attention by Virgil's kernels";
}

std::int64_t RoutedTraits::attention_forward_workspace_bytes(const AttentionShape& shape) const {
  CudnnAttention* const cudnn = route_.cudnn_for(shape, false);
  const std::int64_t ours = CudaTraits::attention_forward_workspace_bytes(shape);
  return cudnn == nullptr ? ours : std::max(ours, cudnn->forward_workspace_bytes(attention_sizes(shape)));
}

std::int64_t RoutedTraits::attention_backward_workspace_bytes(const AttentionShape& shape) const {
  CudnnAttention* const cudnn = route_.cudnn_for(shape, false);
  const std::int64_t ours = CudaTraits::attention_backward_workspace_bytes(shape);
  return cudnn == nullptr ? ours : std::max(ours, cudnn->backward_workspace_bytes(attention_sizes(shape)));
}

}  // namespace virgil::cuda
