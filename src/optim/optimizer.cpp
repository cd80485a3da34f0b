#include "virgil/optim/optimizer.h"

#include <utility>

#include "optim/summed_gradients.h"
#include "virgil/base/error.h"
#include "virgil/model/sharding.h"

namespace virgil {

namespace {

/// The weights in the plan's own dtype, where those that the optimizer updates are a float32 copy of them.
FlatTensor working_weights(const MemoryPlan& plan, const PlannedMemory& memory, std::int64_t rank) {
  if (plan.master_slot() == PlanSlot::kWeights) return {};
  return memory.flat(plan, PlanSlot::kWeights, rank);
}

TensorView part_norms(const MemoryPlan& plan, const PlannedMemory& memory) {
  const std::int64_t processes = plan.parallel().processes;
  if (processes == 1) return {};
  const auto buckets = static_cast<std::int64_t>(plan.parameters().buckets().size());
  return memory.view(PlanSlot::kPartNorms, 0, DType::kFloat32, {processes * buckets});
}

}  // namespace

Optimizer::Optimizer(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory, const OptimizerOptions& options,
                     std::int64_t rank)
    : backend_(backend),
      layout_(plan.parameters()),
      parallel_(plan.parallel()),
      rank_(rank),
      options_(options),
      weights_(memory.flat(plan, plan.master_slot(), rank)),
      working_(working_weights(plan, memory, rank)),
      gradients_(summed_gradients(plan, memory, rank)),
      norm_(memory.scalar(PlanScalar::kGradientNorm)),
      part_norms_(virgil::part_norms(plan, memory)) {
  for (const PlannedState& state : plan.states()) states_.push_back(memory.flat(plan, state.slot, rank));
  for (const ParameterGroup& group : layout_.groups()) {
    GroupRule rule{make_update_rule(group.optimizer.kind, options, plan, memory, backend.traits().alignment_bytes()), {}};
    for (std::size_t i = 0; i < plan.states().size(); ++i) {
      if (plan.states()[i].optimizer == group.optimizer.kind) rule.states.push_back(i);
    }
    rules_.push_back(std::move(rule));
  }
}

void Optimizer::reset() {
  for (const FlatTensor& state : states_) backend_.run(ops::SetZero{state.view()});
}

void Optimizer::enqueue_part_norms() {
  const std::size_t buckets = layout_.buckets().size();
  for (std::size_t bucket = 0; bucket < buckets; ++bucket) {
    const std::int64_t at = rank_ * static_cast<std::int64_t>(buckets) + static_cast<std::int64_t>(bucket);
    backend_.run(ops::L2Norm{part_norms_.slice(at, {1}), gradients_.part_of_bucket(bucket, rank_), 1.0F});
  }
}

/// The norm of the parts' norms is the norm of the whole, and the same bits whoever holds the parts.
void Optimizer::enqueue_norm(double loss_scale) {
  backend_.run(ops::L2Norm{norm_, part_norms_.present() ? part_norms_ : gradients_.view(), static_cast<float>(1 / loss_scale)});
}

void Optimizer::enqueue_update(std::int64_t t, double learning_rate, double loss_scale) {
  for (const ParameterRange& range : layout_.ranges()) {
    const ParameterGroup& group = layout_.groups()[range.group];
    const UpdateStep step{.t = t,
                          .learning_rate = learning_rate * group.learning_rate_factor,
                          .weight_decay = options_.weight_decay * group.weight_decay_factor,
                          .max_norm = options_.max_norm,
                          .grad_scale = 1 / loss_scale,
                          .norm = norm_,
                          .seed = options_.seed};
    if (group.optimizer.shard_rule == ShardRule::kWholeTensors) {
      enqueue_whole_tensors(range, step);
    } else {
      enqueue_elements(range, step);
    }
  }
}

double Optimizer::step(std::int64_t t, double learning_rate, double loss_scale) {
  VIRGIL_CHECK(parallel_.processes == 1, "the norms of {} processes are not gathered", parallel_.processes);
  enqueue_norm(loss_scale);
  enqueue_update(t, learning_rate, loss_scale);
  float norm = 0;
  backend_.copy_to_host(std::as_writable_bytes(std::span(&norm, 1)), norm_);
  return norm;
}

/// In one process all at once; else part by part of each bucket, with the elements numbered as in one process, so that their
/// random numbers do not depend on how many there are.
void Optimizer::enqueue_elements(const ParameterRange& range, const UpdateStep& step) {
  if (parallel_.processes == 1) return enqueue_piece(range.group, range.offset, {range.num_elements}, range.offset, step);
  const std::int64_t first = parallel_.shards_optimizer() ? rank_ : 0;
  const std::int64_t last = parallel_.shards_optimizer() ? rank_ : parallel_.processes - 1;
  for (const ParameterBucket& bucket : layout_.buckets()) {
    if (bucket.group != range.group) continue;
    const std::int64_t part = bucket.num_elements / layout_.num_shards();
    for (std::int64_t rank = first; rank <= last; ++rank) {
      enqueue_piece(range.group, bucket.offset + rank * part, {part}, bucket.lone_offset + rank * part, step);
    }
  }
}

void Optimizer::enqueue_whole_tensors(const ParameterRange& range, const UpdateStep& step) {
  for (const ParameterSpec& spec : layout_.parameters()) {
    if (spec.group == range.group && is_mine(spec)) {
      enqueue_piece(range.group, spec.offset, spec.shape, spec.lone_offset, step, &spec);
    }
  }
}

bool Optimizer::is_mine(const ParameterSpec& spec) const {
  if (!parallel_.shards_optimizer()) return true;
  const ParameterBucket& bucket = layout_.buckets()[layout_.bucket_of(spec.offset)];
  return (spec.offset - bucket.offset) / (bucket.num_elements / layout_.num_shards()) == rank_;
}

void Optimizer::enqueue_piece(std::size_t group, std::int64_t first, const Shape& shape, std::int64_t first_index,
                              const UpdateStep& step, const ParameterSpec* parameter) {
  const std::int64_t count = shape.num_elements();
  const auto piece_of = [&](const FlatTensor& flat) {
    return flat.present() ? flat.slice(first, count).reshape(shape) : TensorView{};
  };
  const GroupRule& rule = rules_[group];
  std::vector<TensorView> states;
  for (const std::size_t state : rule.states) {
    const FlatTensor& flat = states_[state];
    const TensorView kept = parameter == nullptr
                                ? flat.slice(flat.units(first), flat.units(count))
                                : flat.slice(flat.extent().place_of(*parameter), flat.extent().units_of(*parameter));
    states.push_back(kept.num_elements() == count ? kept.reshape(shape) : kept);
  }
  rule.rule->enqueue(backend_,
                     {.weights = piece_of(weights_),
                      .working = piece_of(working_),
                      .states = states,
                      .gradients = piece_of(gradients_),
                      .first_index = first_index,
                      .parameter = parameter},
                     step);
}

}  // namespace virgil
