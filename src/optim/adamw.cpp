#include "virgil/optim/adamw.h"

#include <algorithm>
#include <cmath>

#include "virgil/base/error.h"
#include "virgil/model/sharding.h"

namespace virgil {

namespace {

double read_scalar(Backend& backend, const TensorView& scalar) {
  float value = 0;
  backend.copy_to_host(std::as_writable_bytes(std::span(&value, 1)), scalar);
  return value;
}

/// The weights in the plan's own dtype, where those that the optimizer updates are a float32 copy of them.
FlatTensor working_weights(const MemoryPlan& plan, const PlannedMemory& memory, std::int64_t rank) {
  if (plan.master_slot() == PlanSlot::kWeights) return {};
  return memory.flat(plan, PlanSlot::kWeights, rank);
}

/// What rank `rank` has of the gradients' sum: with sharding its part, which may lie in the whole.
FlatTensor summed_gradients(const MemoryPlan& plan, const PlannedMemory& memory, std::int64_t rank) {
  return memory.flat(plan, plan.parallel().shards_gradients() ? PlanSlot::kGradientPart : PlanSlot::kGradients, rank);
}

/// The first parameter of which a piece that `for_each_piece(first element, count, visit)` shows is not finite.
template <typename ForEachPiece>
std::string find_non_finite(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory,
                            const ForEachPiece& for_each_piece) {
  const TensorView norm = memory.scalar(PlanScalar::kGradientNorm);
  for (const ParameterSpec& spec : plan.parameters().parameters()) {
    bool finite = true;
    for_each_piece(spec.offset, spec.num_elements(), [&](std::int64_t, TensorView piece) {
      backend.run(ops::L2Norm{norm, piece, 1.0F});
      finite = finite && std::isfinite(read_scalar(backend, norm));
    });
    if (!finite) return spec.name;
  }
  return {};
}

TensorView part_norms(const MemoryPlan& plan, const PlannedMemory& memory) {
  const std::int64_t processes = plan.parallel().processes;
  if (processes == 1) return {};
  const auto buckets = static_cast<std::int64_t>(plan.parameters().buckets().size());
  return memory.view(PlanSlot::kPartNorms, 0, DType::kFloat32, {processes * buckets});
}

}  // namespace

AdamW::AdamW(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory, const AdamWOptions& options,
             std::int64_t rank)
    : backend_(backend),
      layout_(plan.parameters()),
      parallel_(plan.parallel()),
      rank_(rank),
      options_(options),
      weights_(memory.flat(plan, plan.master_slot(), rank)),
      working_(working_weights(plan, memory, rank)),
      m_(memory.flat(plan, PlanSlot::kAdamM, rank)),
      v_(memory.flat(plan, PlanSlot::kAdamV, rank)),
      gradients_(summed_gradients(plan, memory, rank)),
      norm_(memory.scalar(PlanScalar::kGradientNorm)),
      part_norms_(virgil::part_norms(plan, memory)) {}

void AdamW::reset() {
  backend_.run(ops::SetZero{m_.view()});
  backend_.run(ops::SetZero{v_.view()});
}

void AdamW::enqueue_part_norms() {
  const std::size_t buckets = layout_.buckets().size();
  for (std::size_t bucket = 0; bucket < buckets; ++bucket) {
    const std::int64_t at = rank_ * static_cast<std::int64_t>(buckets) + static_cast<std::int64_t>(bucket);
    backend_.run(ops::L2Norm{part_norms_.slice(at, {1}), gradients_.part_of_bucket(bucket, rank_), 1.0F});
  }
}

/// The norm of the parts' norms is the norm of the whole, and the same bits whoever holds the parts.
void AdamW::enqueue_norm(double loss_scale) {
  backend_.run(ops::L2Norm{norm_, part_norms_.present() ? part_norms_ : gradients_.view(), static_cast<float>(1 / loss_scale)});
}

void AdamW::enqueue_update(std::int64_t t, double learning_rate, double loss_scale) {
  step_ = {.learning_rate = static_cast<float>(learning_rate),
           .beta1 = static_cast<float>(options_.beta1),
           .beta2 = static_cast<float>(options_.beta2),
           .eps = static_cast<float>(options_.eps),
           .weight_decay = 0,
           .t = t,
           .max_norm = static_cast<float>(options_.max_norm),
           .grad_scale = static_cast<float>(1 / loss_scale),
           .rounding = {options_.seed, RandomPurpose::kStochasticRounding, 0, static_cast<std::uint32_t>(t)},
           .first_index = 0};
  if (parallel_.processes == 1) {
    for (const ParameterRange& range : layout_.ranges()) {
      const Shape shape{range.num_elements};
      const auto slice = [&](const FlatTensor& flat) {
        return flat.present() ? flat.view().slice(range.offset, shape) : TensorView{};
      };
      enqueue_run(slice(weights_), slice(working_), slice(m_), slice(v_), slice(gradients_), range.decayed, range.offset);
    }
    return;
  }
  const std::int64_t first = parallel_.shards_optimizer() ? rank_ : 0;
  const std::int64_t last = parallel_.shards_optimizer() ? rank_ : parallel_.processes - 1;
  for (std::size_t bucket = 0; bucket < layout_.buckets().size(); ++bucket) {
    for (std::int64_t rank = first; rank <= last; ++rank) enqueue_bucket(bucket, rank);
  }
}

double AdamW::step(std::int64_t t, double learning_rate, double loss_scale) {
  VIRGIL_CHECK(parallel_.processes == 1, "the norms of {} processes are not gathered", parallel_.processes);
  enqueue_norm(loss_scale);
  enqueue_update(t, learning_rate, loss_scale);
  return read_scalar(backend_, norm_);
}

/// Part `rank` of a bucket. Elements are numbered as in one process, so that their random numbers do not depend on how many
/// there are.
void AdamW::enqueue_bucket(std::size_t index, std::int64_t rank) {
  const ParameterBucket& bucket = layout_.buckets()[index];
  const auto part = [&](const FlatTensor& flat) { return flat.present() ? flat.part_of_bucket(index, rank) : TensorView{}; };
  const std::int64_t first_index = bucket.lone_offset + rank * (bucket.num_elements / layout_.num_shards());
  enqueue_run(part(weights_), part(working_), part(m_), part(v_), part(gradients_), bucket.decayed, first_index);
}

void AdamW::enqueue_run(TensorView weights, TensorView working, TensorView m, TensorView v, TensorView gradients, bool decayed,
                        std::int64_t first_index) {
  AdamWStep step = step_;
  step.weight_decay = decayed ? static_cast<float>(options_.weight_decay) : 0.0F;
  step.first_index = first_index;
  backend_.run(ops::AdamWUpdate{weights, working, m, v, gradients, norm_, step});
}

std::string find_non_finite_gradient(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory, std::int64_t rank) {
  const FlatTensor gradients = summed_gradients(plan, memory, rank);
  // Outside its part a rank that shards the optimizer holds no sums, only what it summed up itself.
  const bool part_only = plan.parallel().shards_optimizer();
  return find_non_finite(backend, plan, memory, [&](std::int64_t first, std::int64_t count, const auto& visit) {
    if (part_only) {
      gradients.for_each_piece_of_rank(rank, first, count, visit);
    } else {
      gradients.for_each_piece(first, count, visit);
    }
  });
}

std::string find_non_finite_weight(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory, std::int64_t rank) {
  const FlatTensor weights = memory.flat(plan, plan.master_slot(), rank);
  return find_non_finite(backend, plan, memory, [&](std::int64_t first, std::int64_t count, const auto& visit) {
    weights.for_each_piece(first, count, visit);
  });
}

}  // namespace virgil
