#include "virgil/model/gpt.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/model/float_copy.h"

namespace virgil {

namespace {

TensorView flat_view(const MemoryPlan& plan, const PlannedMemory& memory, PlanSlot slot, DType dtype) {
  return memory.view(slot, 0, dtype, {plan.parameters().flat_elements()});
}

std::vector<TensorView> target_views(const MemoryPlan& plan, const PlannedMemory& memory) {
  std::vector<TensorView> views;
  for (const PlacedTarget& target : place_targets(plan.step())) {
    views.push_back(memory.view(PlanSlot::kTargets, target.offset_bytes, target.dtype, target.shape));
  }
  return views;
}

}  // namespace

Gpt::Gpt(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory, std::int64_t rank)
    : backend_(backend),
      plan_(plan),
      config_(plan.model()),
      evaluation_(memory.bind(plan.evaluation())),
      weights_(flat_view(plan, memory, PlanSlot::kWeights, plan.dtype())),
      rank_(rank),
      master_weights_(memory.flat(plan, plan.master_slot(), rank)),
      gradients_(plan.step().training ? memory.view(PlanSlot::kGradients, 0, DType::kFloat32, {plan.gradients().num_elements()})
                                      : weights_),
      inputs_(memory.view(PlanSlot::kInputs, 0, DType::kInt32, {plan.step().batch_size, plan.step().length})),
      targets_(target_views(plan, memory)),
      losses_(memory.view(PlanSlot::kLosses, 0, DType::kFloat32, {inputs_.num_elements()})),
      loss_sum_(memory.scalar(PlanScalar::kLossSum)),
      loss_sums_(memory.micro_step_losses(plan.step().micro_steps)) {
  VIRGIL_CHECK(plan.step().length <= config_.block_size, "length {} of block_size {}", plan.step().length, config_.block_size);
  if (plan.step().training) {
    const PlacedTape training = plan.training();
    training_ = memory.bind(training);
    bucket_events_ = bucket_events(training.tape);
  }
  backend_.bind_workspace(memory.bytes(PlanSlot::kWorkspace));
}

void Gpt::refresh_weights() {
  if (master_weights_.view().data() == weights_.data()) return;
  if (master_weights_.is_whole()) {
    backend_.run(ops::Convert{weights_, master_weights_.view()});
    return;
  }
  const FlatTensor weights = FlatTensor::whole(plan_.parameters(), weights_);
  for (std::size_t bucket = 0; bucket < plan_.parameters().buckets().size(); ++bucket) {
    backend_.run(ops::Convert{weights.part_of_bucket(bucket, rank_), master_weights_.part_of_bucket(bucket, rank_)});
  }
}

TensorView Gpt::gradients() const {
  VIRGIL_CHECK(plan_.step().training, "a plan without training has no gradients");
  return gradients_;
}

std::vector<Gpt::BucketEvents> Gpt::bucket_events(const Tape& tape) {
  std::vector<BucketEvents> events(tape.calls().size());
  for (const auto& [bucket, life] : bucket_lives(tape)) {
    events[static_cast<std::size_t>(life.first)].before.push_back(static_cast<std::size_t>(bucket));
    events[static_cast<std::size_t>(life.last)].after.push_back(static_cast<std::size_t>(bucket));
  }
  return events;
}

void Gpt::load_batch(const HostBatch& batch) {
  VIRGIL_CHECK(batch.num_targets() == targets_.size(), "a batch of {} targets, a plan of {}", batch.num_targets(),
               targets_.size());
  backend_.copy_from_host(inputs_, std::as_bytes(batch.inputs()));
  for (std::size_t i = 0; i < targets_.size(); ++i) backend_.copy_from_host(targets_[i], batch.target_bytes(i));
}

void Gpt::load_batch(std::span<const std::int32_t> inputs, std::span<const std::int32_t> targets) {
  backend_.copy_from_host(inputs_, std::as_bytes(inputs));
  backend_.copy_from_host(targets_.front(), std::as_bytes(targets));
}

double Gpt::evaluate() { return run_evaluation({}); }

void Gpt::read_losses(std::span<float> losses) {
  VIRGIL_CHECK(static_cast<std::int64_t>(losses.size()) == losses_.num_elements(), "{} losses", losses.size());
  backend_.copy_to_host(std::as_writable_bytes(losses), losses_);
}

double Gpt::evaluate_with_logits(std::span<float> logits) {
  VIRGIL_CHECK(static_cast<std::int64_t>(logits.size()) == inputs_.num_elements() * config_.vocab_size, "{} logits",
               logits.size());
  return run_evaluation(logits);
}

void Gpt::zero_gradients() { backend_.run(ops::SetZero{gradients()}); }

void Gpt::enqueue_gradients(float grad_scale, const PassRandomness& randomness, std::int64_t micro_step,
                            GradientObserver* observer) {
  VIRGIL_CHECK(plan_.step().training, "the plan is for evaluation only");
  VIRGIL_CHECK(micro_step >= 0 && micro_step < plan_.step().micro_steps, "micro-step {} of {}", micro_step,
               plan_.step().micro_steps);
  set_place(grad_scale, randomness);
  const auto pass = [&] { run_training(observer); };
  if (observer != nullptr) {
    pass();  // what the observer starts is another's to record
  } else {
    const PassKey key{grad_scale, randomness.seed};
    if (training_pass_ == nullptr || training_pass_key_ != key) {
      training_pass_ = backend_.make_sequence();
      training_pass_key_ = key;
    }
    training_pass_->run({randomness.step, randomness.first_sequence}, pass);
  }
  backend_.run(ops::Copy{loss_sums_.slice(micro_step, {1}), loss_sum_});
}

double Gpt::read_loss_sum() {
  float loss_sum = 0;
  backend_.copy_to_host(std::as_writable_bytes(std::span(&loss_sum, 1)), loss_sum_);
  return loss_sum;
}

double Gpt::accumulate_gradients(float grad_scale, const PassRandomness& randomness) {
  enqueue_gradients(grad_scale, randomness);
  return read_loss_sum();
}

double Gpt::run_evaluation(std::span<float> logits) {
  const std::int64_t V = config_.vocab_size;
  std::vector<float> chunk;
  float* next = logits.data();
  for (const Call& call : evaluation_) {
    backend_.run(call);
    const auto* losses = std::get_if<ops::CrossEntropyForward>(&call);
    if (losses == nullptr || logits.empty()) continue;
    const std::int64_t rows = losses->logits.shape()[0];
    const std::int64_t Vp = losses->logits.shape()[1];
    chunk.resize(static_cast<std::size_t>(losses->logits.num_elements()));
    copy_floats_to_host(backend_, chunk, losses->logits);
    for (std::int64_t row = 0; row < rows; ++row) next = std::copy_n(chunk.begin() + row * Vp, V, next);
  }
  return read_loss_sum();
}

void Gpt::set_place(float grad_scale, const PassRandomness& randomness) {
  for (Call& call : training_) {
    std::visit(
        [&](auto& op) {
          if constexpr (requires { op.dropout; }) {
            op.dropout.stream.seed = randomness.seed;
            op.dropout.stream.step = randomness.step;
            op.dropout.first_sequence = randomness.first_sequence;
          }
          if constexpr (requires { op.grad_scale; }) op.grad_scale = grad_scale;
        },
        call);
  }
}

void Gpt::run_training(GradientObserver* observer) {
  for (std::size_t i = 0; i < training_.size(); ++i) {
    if (observer != nullptr) {
      for (const std::size_t bucket : bucket_events_[i].before) observer->before_bucket(bucket);
    }
    backend_.run(training_[i]);
    if (observer != nullptr) {
      for (const std::size_t bucket : bucket_events_[i].after) observer->after_bucket(bucket);
    }
  }
}

}  // namespace virgil
