#include <cstdint>
#include <variant>

#include "virgil/backend/backend.h"

namespace virgil {

namespace {

class CallWorkspace {
 public:
  explicit CallWorkspace(const BackendTraits& traits) : traits_(traits) {}

  std::int64_t operator()(const auto& /*op*/) const { return 0; }
  std::int64_t operator()(const ops::EmbeddingBackward& op) const {
    const ops::SequenceSizes sizes = op.check();
    return traits_.embedding_backward_workspace_bytes(checked_multiply(sizes.batch, sizes.length), sizes.channels,
                                                      op.dwte.shape()[0]);
  }
  std::int64_t operator()(const ops::NormBackward& op) const {
    const ops::RowSizes sizes = op.check();
    return traits_.norm_backward_workspace_bytes(sizes.rows, sizes.channels);
  }
  std::int64_t operator()(const ops::Matmul& op) const { return traits_.matmul_workspace_bytes(op.check()); }
  std::int64_t operator()(const ops::MatmulGeluBackward& op) const { return traits_.matmul_workspace_bytes(op.check()); }
  std::int64_t operator()(const ops::BiasBackward& op) const {
    const ops::RowSizes sizes = op.check();
    return traits_.column_sums_workspace_bytes(sizes.rows, sizes.channels);
  }
  std::int64_t operator()(const ops::CausalConvBackward& op) const {
    const ops::CausalConvSizes sizes = op.check();
    return traits_.column_sums_workspace_bytes(checked_multiply(sizes.batch, sizes.length),
                                               checked_multiply(sizes.taps, sizes.channels));
  }
  std::int64_t operator()(const ops::AttentionForward& op) const {
    return traits_.attention_forward_workspace_bytes(op.check());
  }
  std::int64_t operator()(const ops::AttentionBackward& op) const {
    return traits_.attention_backward_workspace_bytes(op.check());
  }
  std::int64_t operator()(const ops::AttentionDecode& op) const {
    return traits_.attention_decode_workspace_bytes(op.cache_shape());
  }
  std::int64_t operator()(const ops::ReduceSum& op) const { return traits_.reduction_workspace_bytes(op.check()); }
  std::int64_t operator()(const ops::L2Norm& op) const { return traits_.reduction_workspace_bytes(op.check()); }

 private:
  const BackendTraits& traits_;
};

}  // namespace

std::int64_t BackendTraits::workspace_bytes(const Call& call) const { return std::visit(CallWorkspace(*this), call); }

}  // namespace virgil
