#include "virgil/model/activation_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "virgil/base/error.h"

namespace virgil {

std::string_view name_of(Recompute recompute) {
  switch (recompute) {
    case Recompute::kNone:
      return "none";
    case Recompute::kGelu:
      return "gelu";
    case Recompute::kNorm:
      return "norm";
    case Recompute::kBlock:
      return "block";
  }
  return "unknown";
}

Recompute parse_recompute(std::string_view name) {
  for (const Recompute recompute : kAllRecompute) {
    if (name_of(recompute) == name) return recompute;
  }
  throw user_error("recompute is \"{}\": choose none, gelu, norm or block", name);
}

/// Walks the ops of a step in the order in which Gpt runs them and notes each tensor's first and last use.
/// Gpt and this class must agree; the test GptArena.SharingBytesChangesNoBit holds them together.
class ScheduleWalker {
 public:
  ScheduleWalker(ActivationLayout& layout, const ModelConfig& config, const StepShape& step)
      : layout_(layout), config_(config), step_(step) {}

  void walk() {
    using enum Activation;
    const std::int64_t L = config_.num_layers();
    op({{kResidual, 0}});
    op({{kResidual, 0}, {kNorm1, 0}, {kNorm1Mean, 0}, {kNorm1Rstd, 0}});
    for (std::int64_t l = 0; l < L; ++l) {
      block_until_gelu(l);
      op({{kGelu, l}, {kBranch, l}});
      if (l + 1 < L) {
        op({{kResidualMid, l}, {kBranch, l}, {kResidual, l + 1}, {kNorm1, l + 1}, {kNorm1Mean, l + 1}, {kNorm1Rstd, l + 1}});
      } else {
        op({{kResidualMid, l}, {kBranch, l}, {kResidual, L}, {kFinalNorm, 0}, {kFinalNormMean, 0}, {kFinalNormRstd, 0}});
      }
    }
    if (!step_.training) {
      op({{kFinalNorm, 0}});
      return;
    }
    op({{kFinalNorm, 0}, {kGradFinalNorm, 0}});
    pass_ = Pass::kBackward;
    op({{kGradResidual, 0}, {kGradFinalNorm, 0}, {kResidual, L}, {kFinalNormMean, 0}, {kFinalNormRstd, 0}});
    for (std::int64_t l = L - 1; l >= 0; --l) block_backward(l);
    op({{kGradResidual, 0}});
  }

 private:
  using Use = std::pair<Activation, std::int64_t>;

  /// The part of a block's forward pass that recomputation at level kBlock runs again.
  void block_until_gelu(std::int64_t l) {
    using enum Activation;
    op({{kNorm1, l}, {kQkv, l}});
    op({{kQkv, l}, {kAttention, l}, {kLogSumExp, l}});
    op({{kAttention, l}, {kBranch, l}});
    op({{kResidual, l}, {kBranch, l}, {kResidualMid, l}, {kNorm2, l}, {kNorm2Mean, l}, {kNorm2Rstd, l}});
    op({{kNorm2, l}, {kMlpHidden, l}});
    op({{kMlpHidden, l}, {kGelu, l}});
  }

  void block_backward(std::int64_t l) {
    using enum Activation;
    if (step_.recompute == Recompute::kBlock) {
      op({{kResidual, l}, {kNorm1, l}, {kNorm1Mean, l}, {kNorm1Rstd, l}});
      block_until_gelu(l);
    } else if (step_.recompute >= Recompute::kGelu) {
      op({{kMlpHidden, l}, {kGelu, l}});
    }
    const bool dropout = config_.dropout() > 0;
    const Use grad_branch2 = dropout ? Use{kGradBranch2, l} : Use{kGradResidual, 0};
    const Use grad_branch1 = dropout ? Use{kGradBranch1, l} : Use{kGradResidual, 0};
    op({{kGradResidual, 0}, grad_branch2});
    op({{kGelu, l}, grad_branch2});
    op({grad_branch2, {kMlpHidden, l}, {kGradMlp, l}});
    if (step_.recompute == Recompute::kNorm) op({{kResidualMid, l}, {kNorm2, l}, {kNorm2Mean, l}, {kNorm2Rstd, l}});
    op({{kNorm2, l}, {kGradMlp, l}});
    op({{kGradMlp, l}, {kGradNorm2, l}});
    op({{kGradNorm2, l}, {kGradResidual, 0}, {kResidualMid, l}, {kNorm2Mean, l}, {kNorm2Rstd, l}});
    op({{kGradResidual, 0}, grad_branch1});
    op({{kAttention, l}, grad_branch1});
    op({grad_branch1, {kGradAttention, l}});
    op({{kGradAttention, l}, {kAttention, l}, {kQkv, l}, {kLogSumExp, l}, {kGradQkv, l}});
    if (step_.recompute == Recompute::kNorm) op({{kResidual, l}, {kNorm1, l}, {kNorm1Mean, l}, {kNorm1Rstd, l}});
    op({{kNorm1, l}, {kGradQkv, l}});
    op({{kGradQkv, l}, {kGradNorm1, l}});
    op({{kGradNorm1, l}, {kGradResidual, 0}, {kResidual, l}, {kNorm1Mean, l}, {kNorm1Rstd, l}});
  }

  void op(std::initializer_list<Use> uses) {
    for (const auto& [activation, layer] : uses) touch(activation, layer);
    ++time_;
  }

  void touch(Activation activation, std::int64_t layer) {
    const ActivationLayout::Key key{activation, layer, pass_};
    auto found = layout_.index_.find(key);
    if (found == layout_.index_.end() && pass_ == Pass::kBackward && is_stored(activation)) {
      const auto forward = layout_.index_.find({activation, layer, Pass::kForward});
      if (forward != layout_.index_.end()) found = layout_.index_.emplace(key, forward->second).first;
    }
    if (found == layout_.index_.end()) {
      found = layout_.index_.emplace(key, layout_.specs_.size()).first;
      layout_.specs_.push_back(describe(activation, layer));
    }
    layout_.specs_[found->second].last_use = time_;
  }

  /// Whether the backward pass finds what the forward pass left.
  [[nodiscard]] bool is_stored(Activation activation) const {
    using enum Activation;
    switch (activation) {
      case kResidual:
      case kFinalNorm:
      case kFinalNormMean:
      case kFinalNormRstd:
      case kGradFinalNorm:
        return true;
      case kGelu:
        return step_.recompute < Recompute::kGelu;
      case kNorm1:
      case kNorm2:
        return step_.recompute < Recompute::kNorm;
      default:
        return step_.recompute < Recompute::kBlock;
    }
  }

  [[nodiscard]] ActivationSpec describe(Activation activation, std::int64_t layer) const {
    using enum Activation;
    const std::int64_t B = step_.batch_size;
    const std::int64_t T = step_.length;
    const std::int64_t C = config_.embedding_dim();
    const std::int64_t F = config_.d_ff();
    const bool recomputed = pass_ == Pass::kBackward && layout_.index_.contains({activation, layer, Pass::kForward});
    const auto make = [&](std::string_view name, const Shape& shape, bool per_layer = true, DType dtype = DType::kInt32) {
      ActivationSpec spec;
      spec.name = (per_layer ? fmt::format("h.{}.{}", layer, name) : std::string(name)) + (recomputed ? " (recomputed)" : "");
      spec.dtype = dtype == DType::kInt32 ? step_.dtype : dtype;
      spec.shape = shape;
      spec.first_use = time_;
      return spec;
    };
    const auto statistic = [&](std::string_view name, bool per_layer = true) {
      return make(name, {checked_multiply(B, T)}, per_layer, DType::kFloat32);
    };
    switch (activation) {
      case kResidual:
        return make("residual", {B, T, C});
      case kNorm1:
        return make("ln_1", {B, T, C});
      case kNorm1Mean:
        return statistic("ln_1.mean");
      case kNorm1Rstd:
        return statistic("ln_1.rstd");
      case kQkv:
        return make("attn.qkv", {B, T, 3 * C});
      case kAttention:
        return make("attn.out", {B, T, C});
      case kLogSumExp:
        return make("attn.lse", {B, config_.num_heads(), T}, true, DType::kFloat32);
      case kResidualMid:
        return make("residual_mid", {B, T, C});
      case kNorm2:
        return make("ln_2", {B, T, C});
      case kNorm2Mean:
        return statistic("ln_2.mean");
      case kNorm2Rstd:
        return statistic("ln_2.rstd");
      case kMlpHidden:
        return make("mlp.hidden", {B, T, F});
      case kGelu:
        return make("mlp.gelu", {B, T, F});
      case kBranch:
        return make("branch", {B, T, C});
      case kFinalNorm:
        return make("ln_f", {B, T, C}, false);
      case kFinalNormMean:
        return statistic("ln_f.mean", false);
      case kFinalNormRstd:
        return statistic("ln_f.rstd", false);
      case kGradResidual:
        return make("d_residual", {B, T, C}, false);
      case kGradBranch2:
        return make("mlp.d_branch", {B, T, C});
      case kGradBranch1:
        return make("attn.d_branch", {B, T, C});
      case kGradMlp:
        return make("mlp.d_hidden", {B, T, F});
      case kGradNorm2:
        return make("d_ln_2", {B, T, C});
      case kGradNorm1:
        return make("d_ln_1", {B, T, C});
      case kGradAttention:
        return make("attn.d_out", {B, T, C});
      case kGradQkv:
        return make("attn.d_qkv", {B, T, 3 * C});
      case kGradFinalNorm:
        return make("d_ln_f", {B, T, C}, false);
    }
    throw InternalError("unknown activation");
  }

  ActivationLayout& layout_;
  const ModelConfig& config_;
  const StepShape& step_;
  Pass pass_ = Pass::kForward;
  std::int64_t time_ = 0;
};

namespace {

/// Gives every tensor an offset of its own. Returns the arena's size.
std::int64_t place_side_by_side(std::vector<ActivationSpec>& specs) {
  std::int64_t end = 0;
  for (ActivationSpec& spec : specs) {
    spec.offset_bytes = end;
    end = checked_add(end, spec.size_bytes);
  }
  return end;
}

/// Gives every tensor an offset: largest first, at the lowest place where nothing that lives at the same time lies.
/// Returns the arena's size.
std::int64_t place_shared(std::vector<ActivationSpec>& specs) {
  std::vector<ActivationSpec*> order;
  for (ActivationSpec& spec : specs) order.push_back(&spec);
  std::ranges::stable_sort(order, [](const auto* a, const auto* b) { return a->size_bytes > b->size_bytes; });
  std::vector<ActivationSpec*> placed;  // by offset
  std::int64_t arena_bytes = 0;
  for (ActivationSpec* spec : order) {
    std::int64_t offset = 0;
    for (const ActivationSpec* other : placed) {
      const bool together = spec->first_use <= other->last_use && other->first_use <= spec->last_use;
      if (!together) continue;
      if (other->offset_bytes >= checked_add(offset, spec->size_bytes)) break;
      offset = std::max(offset, other->offset_bytes + other->size_bytes);
    }
    spec->offset_bytes = offset;
    arena_bytes = std::max(arena_bytes, checked_add(offset, spec->size_bytes));
    placed.insert(std::ranges::upper_bound(placed, offset, {}, &ActivationSpec::offset_bytes), spec);
  }
  return arena_bytes;
}

}  // namespace

ActivationLayout::ActivationLayout(const ModelConfig& config, const StepShape& step, std::int64_t alignment_bytes) {
  ScheduleWalker(*this, config, step).walk();
  for (ActivationSpec& spec : specs_) {
    spec.size_bytes = round_up(checked_multiply(spec.shape.num_elements(), size_of(spec.dtype)), alignment_bytes);
  }
  arena_bytes_ = step.share_arena ? place_shared(specs_) : place_side_by_side(specs_);
}

const ActivationSpec& ActivationLayout::find(Activation activation, std::int64_t layer, Pass pass) const {
  const auto found = index_.find({activation, layer, pass});
  VIRGIL_CHECK(found != index_.end(), "activation {} of layer {} is not in the schedule", static_cast<int>(activation), layer);
  return specs_[found->second];
}

std::int64_t ActivationLayout::unshared_bytes() const {
  return std::accumulate(specs_.begin(), specs_.end(), std::int64_t{0},
                         [](std::int64_t sum, const ActivationSpec& spec) { return checked_add(sum, spec.size_bytes); });
}

}  // namespace virgil
