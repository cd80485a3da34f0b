#include "train/gradient_exchange.h"

#include "virgil/base/error.h"

namespace virgil {

GradientExchange::GradientExchange(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory,
                                   Communicator& communicator)
    : backend_(backend),
      plan_(plan),
      communicator_(communicator),
      weights_(memory.flat(plan, PlanSlot::kWeights, communicator.rank())),
      gradients_(memory.view(PlanSlot::kGradients, 0, DType::kFloat32, {plan.gradients().num_elements()})),
      tickets_(plan.parameters().buckets().size()) {
  VIRGIL_CHECK(plan.parallel().processes == communicator.size(), "a plan of {} processes, {} ranks", plan.parallel().processes,
               communicator.size());
  const DataParallel& parallel = plan.parallel();
  if (plan.master_slot() != PlanSlot::kWeights && !parallel.shards_optimizer()) {
    whole_masters_ = memory.flat(plan, plan.master_slot(), communicator.rank());
  }
  if (parallel.shards_gradients()) gradient_part_ = memory.flat(plan, PlanSlot::kGradientPart, communicator.rank());
  if (parallel.staging_bytes > 0) communicator.bind_staging(memory.bytes(PlanSlot::kStaging));
}

void GradientExchange::share_weights(Gpt& gpt) {
  const FlatTensor& shared = whole_masters_.present() ? whole_masters_ : weights_;
  if (!gpt.master_weights().is_whole()) {
    gpt.refresh_weights();
    gather_weights();
    return;
  }
  communicator_.start_broadcast(shared.view(), 0);
  communicator_.wait_all();
  gpt.refresh_weights();
}

void GradientExchange::begin_step() {
  begun_micro_steps_ = 0;
  in_window_.clear();
  if (!gradient_part_.present()) backend_.run(ops::SetZero{gradients_});
}

GradientObserver* GradientExchange::observe(bool is_last_micro_step) {
  ++begun_micro_steps_;
  return gradient_part_.present() || is_last_micro_step ? this : nullptr;
}

TensorView GradientExchange::gradients_of(std::size_t bucket) const {
  return gradients_.slice(plan_.gradients().offset_of(bucket), {plan_.parameters().buckets()[bucket].num_elements});
}

bool GradientExchange::overlap(std::size_t a, std::size_t b) const {
  const auto begin = [&](std::size_t bucket) { return plan_.gradients().offset_of(bucket); };
  const auto end = [&](std::size_t bucket) { return begin(bucket) + plan_.parameters().buckets()[bucket].num_elements; };
  return begin(a) < end(b) && begin(b) < end(a);
}

/// Stage 2: the bucket's sum leaves the window.
void GradientExchange::keep_part(std::size_t bucket) {
  communicator_.wait(tickets_[bucket]);
  const TensorView kept = gradient_part_.part_of_bucket(bucket, communicator_.rank());
  backend_.run(ops::Copy{kept, gradients_of(bucket).slice(communicator_.rank() * kept.num_elements(), {kept.num_elements()})});
}

void GradientExchange::before_bucket(std::size_t bucket) {
  if (!gradient_part_.present()) return;
  std::erase_if(in_window_, [&](std::size_t before) {
    const bool gives_way = overlap(before, bucket);
    if (gives_way) keep_part(before);
    return gives_way;
  });
  in_window_.insert(bucket);
  backend_.run(ops::SetZero{gradients_of(bucket)});
  if (begun_micro_steps_ == 1) return;
  // What has been summed so far joins this rank's summand, so that the reduction adds it once.
  const TensorView kept = gradient_part_.part_of_bucket(bucket, communicator_.rank());
  backend_.run(ops::Copy{gradients_of(bucket).slice(communicator_.rank() * kept.num_elements(), {kept.num_elements()}), kept});
}

void GradientExchange::after_bucket(std::size_t bucket) {
  const DataParallel& parallel = plan_.parallel();
  tickets_[bucket] = parallel.zero_stage == 0 ? communicator_.start_all_reduce(gradients_of(bucket), parallel.wire)
                                              : communicator_.start_reduce_scatter(gradients_of(bucket), parallel.wire);
}

void GradientExchange::finish_step(Optimizer& optimizer) {
  if (gradient_part_.present()) {
    for (const std::size_t bucket : in_window_) keep_part(bucket);
    in_window_.clear();
  }
  communicator_.wait_all();
  optimizer.enqueue_part_norms();
  communicator_.wait(communicator_.start_all_gather(optimizer.part_norms()));
}

void GradientExchange::share_update() {
  if (plan_.parallel().shards_optimizer()) gather_weights();
}

/// Every rank has updated its part of the weights.
void GradientExchange::gather_weights() {
  for (const ParameterBucket& bucket : plan_.parameters().buckets()) {
    communicator_.start_all_gather(weights_.view().slice(bucket.offset, {bucket.num_elements}));
  }
  communicator_.wait_all();
}

}  // namespace virgil
