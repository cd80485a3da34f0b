#include "virgil/plan/training_plan.h"

#include <algorithm>

#include "plan/fitting.h"
#include "virgil/base/error.h"

namespace virgil {

namespace {

std::vector<ParameterGroup> parameter_groups(const TrainingShape& shape) {
  return with_overrides(trainable(shape.model), shape.param_groups,
                        default_groups(shape.optimizer, shape.optimizer_state_dtype), shape.optimizer_state_dtype);
}

}  // namespace

bool TrainingShape::all_adamw() const {
  const auto is_adamw = [](const GroupOverride& group) { return !group.optimizer || !updates_matrices_only(*group.optimizer); };
  return !updates_matrices_only(optimizer) && std::ranges::all_of(param_groups, is_adamw);
}

ParameterLayout parameter_layout(const TrainingShape& shape) {
  return ParameterLayout(trainable(shape.model), shape.parallel.processes, parameter_groups(shape));
}

PlanRequest plan_request(const TrainingShape& shape) {
  PlanRequest request{.step = StepShape{.batch_size = shape.batch_size,
                                        .length = shape.model.block_size,
                                        .training = true,
                                        .dtype = shape.dtype,
                                        .master_weights = shape.master_weights,
                                        .optimizer = shape.optimizer,
                                        .optimizer_state_dtype = shape.optimizer_state_dtype,
                                        .recompute = shape.recompute,
                                        .micro_steps = shape.grad_accum_steps,
                                        .logits_chunk = shape.logits_chunk}};
  request.parallel = shape.parallel;
  request.groups = parameter_groups(shape);
  if (shape.samples) {
    request.decode = DecodeShape{.num_sequences = 1, .max_length = shape.model.block_size, .dtype = shape.dtype};
  }
  return request;
}

MemoryPlan plan_training(const TrainingShape& shape, const BackendTraits& traits) {
  return {trainable(shape.model), plan_request(shape), traits};
}

std::int64_t headroom_bytes(std::int64_t limit_bytes) { return std::min(std::int64_t{1} << 30, limit_bytes / 10); }

Verdict judge(std::int64_t planned_bytes, std::int64_t limit_bytes) {
  if (planned_bytes > limit_bytes) return Verdict::kNo;
  return limit_bytes - planned_bytes < headroom_bytes(limit_bytes) ? Verdict::kTight : Verdict::kYes;
}

bool fits(const TrainingShape& shape, std::int64_t limit_bytes, const BackendTraits& traits) {
  const auto bytes = planned_bytes(shape, limit_bytes, traits);
  return bytes && *bytes <= limit_bytes;
}

std::optional<std::int64_t> planned_bytes(const TrainingShape& shape, std::int64_t limit_bytes, const BackendTraits& traits) {
  try {
    // A backend may have to build a kernel to tell its scratch: it is asked only where the rest fits.
    const std::int64_t least = plan_training(shape, ScratchlessTraits()).total_bytes();
    return least > limit_bytes ? least : plan_training(shape, traits).total_bytes();
  } catch (const UserError&) {
    return std::nullopt;  // a size beyond what a model or a number can be: larger than anything
  }
}

std::vector<std::int64_t> divisors_of(std::int64_t number) {
  std::vector<std::int64_t> small;
  std::vector<std::int64_t> large;
  for (std::int64_t divisor = 1; divisor <= number / divisor; ++divisor) {
    if (number % divisor != 0) continue;
    small.push_back(divisor);
    if (divisor != number / divisor) large.push_back(number / divisor);
  }
  small.insert(small.end(), large.rbegin(), large.rend());
  return small;
}

std::optional<TrainingShape> largest_dividing_batch(const TrainingShape& shape, std::int64_t sequences_per_step,
                                                    std::int64_t limit_bytes, const BackendTraits& traits) {
  if (sequences_per_step % shape.parallel.processes != 0) return std::nullopt;
  const std::int64_t sequences = sequences_per_step / shape.parallel.processes;
  std::vector<std::int64_t> batches = divisors_of(sequences);
  std::ranges::reverse(batches);
  for (const std::int64_t batch : batches) {
    TrainingShape smaller = shape;
    smaller.batch_size = batch;
    smaller.grad_accum_steps = sequences / batch;
    if (fits(smaller, limit_bytes, traits)) return smaller;
  }
  return std::nullopt;
}

}  // namespace virgil
