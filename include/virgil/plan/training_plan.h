// What a training run will take, and what it would take otherwise: the questions before the first step, all answered by the
// MemoryPlan that train allocates.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "virgil/backend/backend.h"
#include "virgil/model/group_overrides.h"
#include "virgil/model/memory_plan.h"

namespace virgil {

/// Everything that decides the memory of a training run on a given backend.
struct TrainingShape {
  Architecture model;
  std::int64_t batch_size = 1;        // sequences of a micro-step
  std::int64_t grad_accum_steps = 1;  // micro-steps of an update
  Recompute recompute = Recompute::kNone;
  std::int64_t logits_chunk = 0;  // as StepShape's
  DType dtype = DType::kFloat32;
  bool master_weights = true;  // as StepShape's
  OptimizerKind optimizer = OptimizerKind::kAdamW;
  StorageType optimizer_state_dtype = DType::kFloat32;  // as StepShape's
  std::vector<GroupOverride> param_groups = {};         // parameters that are trained otherwise
  bool samples = true;                                  // text is generated between steps
  DataParallel parallel = {};                           // of the processes; the plan is that of each of them

  /// Whether no parameter has an optimizer that needs float32 weights and states.
  [[nodiscard]] bool all_adamw() const;
  /// Over all processes. Throws UserError on overflow.
  [[nodiscard]] std::int64_t sequences_per_step() const {
    return checked_multiply(checked_multiply(batch_size, grad_accum_steps), parallel.processes);
  }
  /// Stage 2 sends a running sum in every micro-step; as bfloat16 it would be rounded each time. Not supported.
  [[nodiscard]] bool rounds_sums_repeatedly() const {
    return parallel.shards_gradients() && parallel.wire != DType::kFloat32 && grad_accum_steps > 1;
  }
};

/// Of the model's parameters as the run's optimizer has them.
[[nodiscard]] ParameterLayout parameter_layout(const TrainingShape& shape);
/// A step over whole contexts, and samples of one sequence between steps where there are any.
[[nodiscard]] PlanRequest plan_request(const TrainingShape& shape);
/// The plan of a run. Throws UserError when a size is invalid or overflows.
[[nodiscard]] MemoryPlan plan_training(const TrainingShape& shape, const BackendTraits& traits);

/// A backend whose ops need no scratch: a lower bound on every machine.
class ScratchlessTraits final : public BackendTraits {
 public:
  [[nodiscard]] std::int64_t alignment_bytes() const override { return HostMemoryResource::kAlignment; }
  [[nodiscard]] LogitsChunk logits_chunk() const override { return {.size_bytes = std::int64_t{64} << 20}; }
  [[nodiscard]] std::int64_t matmul_workspace_bytes(const MatmulShape&) const override { return 0; }
  [[nodiscard]] std::int64_t attention_forward_workspace_bytes(const AttentionShape&) const override { return 0; }
  [[nodiscard]] std::int64_t attention_backward_workspace_bytes(const AttentionShape&) const override { return 0; }
  [[nodiscard]] std::int64_t attention_decode_workspace_bytes(const AttentionShape&) const override { return 0; }
  [[nodiscard]] std::int64_t norm_backward_workspace_bytes(std::int64_t, std::int64_t) const override { return 0; }
  [[nodiscard]] std::int64_t column_sums_workspace_bytes(std::int64_t, std::int64_t) const override { return 0; }
  [[nodiscard]] std::int64_t embedding_backward_workspace_bytes(std::int64_t, std::int64_t, std::int64_t) const override {
    return 0;
  }
  [[nodiscard]] std::int64_t reduction_workspace_bytes(std::int64_t) const override { return 0; }
};

enum class Verdict : std::uint8_t { kYes, kTight, kNo };
/// Left free by a run that fits well: what code, libraries and a driver take besides the plan. At most 1 GiB and a tenth.
[[nodiscard]] std::int64_t headroom_bytes(std::int64_t limit_bytes);
/// kTight: the plan fits, but leaves less than headroom_bytes.
[[nodiscard]] Verdict judge(std::int64_t planned_bytes, std::int64_t limit_bytes);

/// What a token costs in a step, in multiply-adds: all calls of a micro-step's tape, of which each counts its operations and,
/// weighed (step_work.h), what it moves. Ratios estimate ratios of times.
[[nodiscard]] double step_work(const TrainingShape& shape, const BackendTraits& traits);

/// One way to make a run smaller.
struct Remedy {
  TrainingShape shape;
  std::int64_t planned_bytes = 0;
  std::int64_t saved_bytes = 0;  // against the shape asked for
  double time_factor = 1;        // of a step with as many tokens, against the shape asked for
  bool fits = false;
  bool same_training = true;  // same model and as many tokens a step: the same loss but for rounding

  /// Whether float32 master weights are given up: a loss that may be a little worse.
  [[nodiscard]] bool drops_master_weights(const TrainingShape& asked) const {
    return asked.master_weights && !shape.master_weights;
  }
};
/// Ways to bring `shape` under `limit_bytes`, best first: those that fit before those that do not, those that leave the
/// training as it is before those that change it, those that keep float32 master weights before those that give them up, then
/// by time, then by bytes saved. Batches become divisors of sequences_per_step.
[[nodiscard]] std::vector<Remedy> find_remedies(const TrainingShape& shape, std::int64_t limit_bytes,
                                                const BackendTraits& traits);

/// The shape with the largest batch_size that, times the processes, divides `sequences_per_step` and fits; nothing when a batch
/// of one does not.
[[nodiscard]] std::optional<TrainingShape> largest_dividing_batch(const TrainingShape& shape, std::int64_t sequences_per_step,
                                                                  std::int64_t limit_bytes, const BackendTraits& traits);

enum class SolveVariable : std::uint8_t { kBatchSize, kBlockSize, kNumLayers, kEmbeddingDim };
/// Step in which a variable is solved: 1, but 64 positions, and whole heads of the same size for kEmbeddingDim.
[[nodiscard]] std::int64_t solve_step(const TrainingShape& shape, SolveVariable variable);
/// The shape with the largest value of `variable` that fits, all else equal (grad_accum_steps too); nothing when none does.
[[nodiscard]] std::optional<TrainingShape> solve_largest(const TrainingShape& shape, SolveVariable variable,
                                                         std::int64_t limit_bytes, const BackendTraits& traits);

/// Models of about `num_parameters` parameters with heads of 64, nearest first, at most `most`: all else as in `like`. Widths
/// are 32 to 128 times the depth, as in published models, where such a model is within 5 %.
[[nodiscard]] std::vector<Architecture> models_of_size(std::int64_t num_parameters, const Architecture& like, std::size_t most);

}  // namespace virgil
