#include "virgil/optim/adamw.h"

#include <cmath>

#include "virgil/model/parameter_views.h"

namespace virgil {

namespace {

TensorView flat(const MemoryPlan& plan, const PlannedMemory& memory, PlanSlot slot, DType dtype = DType::kFloat32) {
  return memory.view(slot, 0, dtype, {plan.parameters().flat_elements()});
}

/// The weights in the plan's own dtype, where that is not the dtype of the master weights.
TensorView working_weights(const MemoryPlan& plan, const PlannedMemory& memory) {
  if (plan.master_slot() == PlanSlot::kWeights) return {};
  return flat(plan, memory, PlanSlot::kWeights, plan.dtype());
}

double read_scalar(Backend& backend, const TensorView& scalar) {
  float value = 0;
  backend.copy_to_host(std::as_writable_bytes(std::span(&value, 1)), scalar);
  return value;
}

std::string find_non_finite(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory, PlanSlot slot) {
  const TensorView tensors = flat(plan, memory, slot);
  const TensorView norm = memory.scalar(PlanScalar::kGradientNorm);
  for (const ParameterSpec& spec : plan.parameters().parameters()) {
    backend.l2_norm(norm, parameter_view(tensors, spec), 1.0F);
    if (!std::isfinite(read_scalar(backend, norm))) return spec.name;
  }
  return {};
}

}  // namespace

AdamW::AdamW(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory, const AdamWOptions& options)
    : backend_(backend),
      layout_(plan.parameters()),
      options_(options),
      weights_(flat(plan, memory, plan.master_slot())),
      working_(working_weights(plan, memory)),
      gradients_(flat(plan, memory, PlanSlot::kGradients)),
      m_(flat(plan, memory, PlanSlot::kAdamM, plan.step().optimizer_state_dtype)),
      v_(flat(plan, memory, PlanSlot::kAdamV, plan.step().optimizer_state_dtype)),
      norm_(memory.scalar(PlanScalar::kGradientNorm)) {}

void AdamW::reset() {
  backend_.set_zero(m_);
  backend_.set_zero(v_);
}

double AdamW::step(std::int64_t t, double learning_rate, double loss_scale) {
  const auto grad_scale = static_cast<float>(1 / loss_scale);
  backend_.l2_norm(norm_, gradients_, grad_scale);
  for (const ParameterRange& range : layout_.ranges()) {
    const Shape shape{range.num_elements};
    const TensorView working = working_.present() ? working_.slice(range.offset, shape) : TensorView{};
    backend_.adamw_update(weights_.slice(range.offset, shape), working, m_.slice(range.offset, shape),
                          v_.slice(range.offset, shape), gradients_.slice(range.offset, shape), norm_,
                          {.learning_rate = static_cast<float>(learning_rate),
                           .beta1 = static_cast<float>(options_.beta1),
                           .beta2 = static_cast<float>(options_.beta2),
                           .eps = static_cast<float>(options_.eps),
                           .weight_decay = range.decayed ? static_cast<float>(options_.weight_decay) : 0.0F,
                           .t = t,
                           .max_norm = static_cast<float>(options_.max_norm),
                           .grad_scale = grad_scale,
                           .rounding = {options_.seed, RandomPurpose::kStochasticRounding, 0, static_cast<std::uint32_t>(t)},
                           .first_index = range.offset});
  }
  return read_scalar(backend_, norm_);
}

std::string find_non_finite_gradient(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory) {
  return find_non_finite(backend, plan, memory, PlanSlot::kGradients);
}

std::string find_non_finite_weight(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory) {
  return find_non_finite(backend, plan, memory, plan.master_slot());
}

}  // namespace virgil
