// The model over any Backend: runs the calls of a plan's tapes in the plan's memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "virgil/backend/backend.h"
#include "virgil/model/memory_plan.h"
#include "virgil/model/objective.h"

namespace virgil {

/// What a training pass's random numbers hang on.
struct PassRandomness {
  std::uint64_t seed = 0;
  std::uint32_t step = 0;           // optimizer step
  std::int64_t first_sequence = 0;  // number within the step of this micro-batch's first sequence
};

/// Is told how a pass adds to the gradients, one bucket (ParameterLayout::buckets()) after the other. Its orders to the backend
/// take their place among the pass's.
class GradientObserver {
 public:
  virtual ~GradientObserver() = default;
  /// The pass is about to add to the bucket's gradients.
  virtual void before_bucket(std::size_t bucket) = 0;
  /// The pass has added all that it will.
  virtual void after_bucket(std::size_t bucket) = 0;
};

/// Runs steps of one plan. Owns nothing: backend, plan and memory must outlive it.
class Gpt {
 public:
  /// Binds the plan's workspace to the backend. `rank` of the plan's processes.
  Gpt(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory, std::int64_t rank = 0);

  /// All parameters as the passes read them (flat_elements()), in the plan's dtype.
  [[nodiscard]] TensorView weights() const { return weights_; }
  /// The parameters as the optimizer updates them, or this rank's part, in the plan's master_dtype(); the same as weights()
  /// where there is no copy.
  [[nodiscard]] const FlatTensor& master_weights() const { return master_weights_; }
  /// Rounds master_weights() to weights() where they are two (of a part, to the same part): for when something other than the
  /// optimizer has written them.
  void refresh_weights();
  /// All gradients, or the window for them, float32 (training plans only): placed by the plan's GradientLayout.
  [[nodiscard]] TensorView gradients() const;

  /// Copies a batch to the device, made for the plan's step.
  void load_batch(const HostBatch& batch);
  /// Inputs and next tokens alone, each B * T ids: all that an evaluation reads, and training for the next token.
  void load_batch(std::span<const std::int32_t> inputs, std::span<const std::int32_t> targets);

  /// Forward pass without dropout over the loaded batch; returns the sum of losses in nats over all targets not ignored.
  [[nodiscard]] double evaluate();
  /// The losses behind the last evaluate(), (B * T), 0 where the target is ignored.
  void read_losses(std::span<float> losses);
  /// As evaluate(), and copies all logits, (B * T, V) as float32 without padding columns, to `logits`.
  double evaluate_with_logits(std::span<float> logits);

  void zero_gradients();
  /// Forward and backward pass over the loaded batch: gradients += d(sum of losses * grad_scale). Waits for nothing: the host
  /// may prepare what comes next. The sum of losses is kept as that of `micro_step` (from 0) for read_step_figures().
  void enqueue_gradients(float grad_scale, const PassRandomness& randomness, std::int64_t micro_step = 0,
                         GradientObserver* observer = nullptr);
  /// The sum of losses of the last pass, once the device has done all that was asked of it.
  [[nodiscard]] double read_loss_sum();
  /// Both, one after the other.
  double accumulate_gradients(float grad_scale, const PassRandomness& randomness);

 private:
  /// The buckets that an observer is told of around one call.
  struct BucketEvents {
    std::vector<std::size_t> before;
    std::vector<std::size_t> after;
  };
  [[nodiscard]] static std::vector<BucketEvents> bucket_events(const Tape& tape);

  /// Copies logits of each chunk, as float32 without padding columns, where `logits` is not empty.
  double run_evaluation(std::span<float> logits);
  void run_training(GradientObserver* observer);
  void set_place(float grad_scale, const PassRandomness& randomness);

  /// What a pass depends on besides its batch and its place in the random numbers.
  struct PassKey {
    float grad_scale = 0;
    std::uint64_t seed = 0;
    friend bool operator==(const PassKey&, const PassKey&) = default;
  };

  Backend& backend_;
  const MemoryPlan& plan_;
  const Architecture& config_;
  std::vector<Call> training_;  // bound; empty in a plan without training
  std::vector<Call> evaluation_;
  std::vector<BucketEvents> bucket_events_;  // by call of training_
  TensorView weights_;
  std::int64_t rank_;
  FlatTensor master_weights_;
  TensorView gradients_;
  TensorView inputs_;                // (B, T) int32
  std::vector<TensorView> targets_;  // as place_targets() says
  TensorView losses_;                // (B * T) float32
  TensorView loss_sum_;              // (1) float32
  TensorView loss_sums_;             // (micro_steps) float32
  PassKey training_pass_key_;
  std::unique_ptr<OpSequence> training_pass_;  // of that key; none before the first pass
};

}  // namespace virgil
