#include <algorithm>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "plan/fitting.h"
#include "virgil/model/state_storage.h"
#include "virgil/plan/training_plan.h"

namespace virgil {

namespace {

constexpr std::int64_t kSmallLogitsChunk = 64;  // rows that still fill a tile of a matrix product

/// Collects candidates and what they give.
class RemedySearch {
 public:
  RemedySearch(const TrainingShape& asked, std::int64_t limit_bytes, const BackendTraits& traits)
      : asked_(asked),
        limit_bytes_(limit_bytes),
        traits_(traits),
        asked_bytes_(plan_training(asked, traits).total_bytes()),
        asked_work_(step_work(asked, traits)) {}

  std::vector<Remedy> run() {
    consider(with_small_chunk(asked_), true);
    consider(with_small_states(asked_), true);
    for (int stage = asked_.parallel.zero_stage + 1; asked_.parallel.processes > 1 && stage <= kMaxZeroStage; ++stage) {
      TrainingShape shape = asked_;
      shape.parallel.zero_stage = stage;
      consider(shape, true);
    }
    for (const Recompute recompute : kAllRecompute) {
      if (recompute < asked_.recompute) continue;
      TrainingShape shape = asked_;
      shape.recompute = recompute;
      if (recompute != asked_.recompute) consider(shape, true);
      smaller_batch(shape);
    }
    const auto found = [&] { return std::ranges::any_of(remedies_, &Remedy::fits); };
    if (!found()) consider(smallest_run(), true);
    if (has_master_copy(asked_)) {
      consider(without_master_weights(asked_), true);
      if (!found()) consider(without_master_weights(smallest_run()), true);
    }
    if (!found()) smaller_model();
    std::ranges::stable_sort(remedies_, {}, [&](const Remedy& r) {
      // Of those that do not fit the one that comes nearest is first, whatever its cost.
      return std::tuple(!r.fits, !r.same_training, r.fits && r.drops_master_weights(asked_), r.fits ? r.time_factor : 0,
                        -r.saved_bytes);
    });
    return std::move(remedies_);
  }

 private:
  /// Chunks of so few rows that the logits count for nothing.
  [[nodiscard]] TrainingShape with_small_chunk(TrainingShape shape) const {
    const std::int64_t rows = choose_logits_rows(trainable(shape.model), *plan_request(shape).step, traits_);
    if (rows > kSmallLogitsChunk) shape.logits_chunk = kSmallLogitsChunk;
    return shape;
  }

  static TrainingShape with_small_states(TrainingShape shape) {
    if (shape.all_adamw()) shape.optimizer_state_dtype = smallest_state_storage();
    return shape;
  }

  /// Whether there is a float32 copy of the weights that a run can do without.
  static bool has_master_copy(const TrainingShape& shape) {
    return shape.dtype == DType::kBFloat16 && shape.master_weights && shape.all_adamw();
  }

  static TrainingShape without_master_weights(TrainingShape shape) {
    if (has_master_copy(shape)) shape.master_weights = false;
    return shape;
  }

  /// The least memory in which this model makes steps of as many tokens and keeps its master weights.
  [[nodiscard]] TrainingShape smallest_run() const {
    TrainingShape smallest = asked_;
    smallest.recompute = Recompute::kBlock;
    smallest.batch_size = 1;
    smallest.grad_accum_steps = asked_.sequences_per_step() / asked_.parallel.processes;
    return with_sums_rounded_once(with_small_chunk(with_small_states(smallest)));
  }

  /// Stage 2 does not accumulate what travels as bfloat16, stage 1 does.
  static TrainingShape with_sums_rounded_once(TrainingShape shape) {
    if (shape.rounds_sums_repeatedly()) shape.parallel.zero_stage = 1;
    return shape;
  }

  void consider(const TrainingShape& shape, bool same_training) {
    if (shape.rounds_sums_repeatedly()) return;
    const MemoryPlan plan = plan_training(shape, traits_);
    const std::int64_t saved = asked_bytes_ - plan.total_bytes();
    if (saved <= 0) return;
    remedies_.push_back({.shape = shape,
                         .planned_bytes = plan.total_bytes(),
                         .saved_bytes = saved,
                         .time_factor = step_work(shape, traits_) / asked_work_,
                         .fits = plan.total_bytes() <= limit_bytes_,
                         .same_training = same_training});
  }

  /// The largest batch that fits, or the smallest there is; more accumulation keeps the tokens of a step.
  void smaller_batch(TrainingShape shape) {
    if (shape.batch_size == 1) return;
    const std::int64_t sequences = shape.sequences_per_step();
    TrainingShape smallest = shape;
    smallest.batch_size = 1;
    smallest.grad_accum_steps = sequences / shape.parallel.processes;
    smallest = with_sums_rounded_once(smallest);
    shape.parallel.zero_stage = smallest.parallel.zero_stage;
    const auto largest = largest_dividing_batch(shape, sequences, limit_bytes_, traits_);
    // Where more recomputation alone fits, a smaller batch besides has no use; nor has more recomputation where it does not
    // make the batch larger.
    if (largest && (largest->batch_size >= shape.batch_size || largest->batch_size <= largest_batch_)) return;
    if (largest) largest_batch_ = largest->batch_size;
    consider(largest.value_or(smallest), true);
  }

  /// When no step of this model fits: what would, with everything else at its smallest.
  void smaller_model() {
    for (const SolveVariable variable : {SolveVariable::kBlockSize, SolveVariable::kNumLayers, SolveVariable::kEmbeddingDim}) {
      if (const auto shape = solve_largest(without_master_weights(smallest_run()), variable, limit_bytes_, traits_))
        consider(*shape, false);
    }
  }

  const TrainingShape& asked_;
  std::int64_t limit_bytes_;
  const BackendTraits& traits_;
  std::int64_t asked_bytes_;
  double asked_work_;
  std::int64_t largest_batch_ = 0;  // that fits with less recomputation
  std::vector<Remedy> remedies_;
};

}  // namespace

std::vector<Remedy> find_remedies(const TrainingShape& shape, std::int64_t limit_bytes, const BackendTraits& traits) {
  return RemedySearch(shape, limit_bytes, traits).run();
}

}  // namespace virgil
