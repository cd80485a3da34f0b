// Whose kernels compute attention, ours or cuDNN's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "cuda/cuda_traits.h"
#include "cuda/cudnn_attention.h"
#include "virgil/backend/cuda_backend.h"

namespace virgil::cuda {

class AttentionRoute {
 public:
  /// Throws UserError where cuDNN is insisted on and not to be had. With AttentionKernels::kAuto a note says why it is not
  /// taken on a GPU where it would be.
  AttentionRoute(const CudaOptions& options, const LaunchContext& context);

  /// cuDNN where it computes both passes of these sizes; null: ours do. The same every time.
  [[nodiscard]] CudnnAttention* cudnn_for(const AttentionShape& shape, bool drops);
  /// "attention by cuDNN 9.19.0", "attention by Virgil's kernels".
  [[nodiscard]] std::string description() const;
  [[nodiscard]] bool may_take_cudnn() const { return cudnn_ != nullptr; }

 private:
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, DType, std::int64_t>;
  [[nodiscard]] bool computes(const AttentionShape& shape) const;

  bool insists_;
  std::function<void(const std::string&)> note_;
  std::unique_ptr<CudnnAttention> cudnn_;  // null: never
  std::map<Key, bool> taken_;              // by sizes, where it is not insisted on
};

[[nodiscard]] AttentionSizes attention_sizes(const AttentionShape& shape);

/// Attention's scratch as cuDNN tells it, once it has built its plan on the device.
class RoutedTraits final : public CudaTraits {
 public:
  /// `route` outlives the traits.
  RoutedTraits(int compute_capability, AttentionRoute& route) : CudaTraits(compute_capability), route_(route) {}

  /// Of whichever takes more where cuDNN takes passes without dropout: ours take those with.
  [[nodiscard]] std::int64_t attention_forward_workspace_bytes(const AttentionShape& shape) const override;
  [[nodiscard]] std::int64_t attention_backward_workspace_bytes(const AttentionShape& shape) const override;

 private:
  AttentionRoute& route_;
};

}  // namespace virgil::cuda
