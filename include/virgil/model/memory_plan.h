// The plan is the allocator: what calc_params prints is what train allocates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "virgil/backend/backend.h"
#include "virgil/memory/buffer.h"
#include "virgil/model/decode_tapes.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/model/plan_slot.h"
#include "virgil/model/sharding.h"
#include "virgil/model/step_shape.h"
#include "virgil/model/step_tape.h"

namespace virgil {

struct PlanItem {
  PlanSlot slot = PlanSlot::kWeights;
  MemoryCategory category = MemoryCategory::kWeights;
  std::string name;
  std::int64_t size_bytes = 0;  // a multiple of the alignment
};

/// Rows of a step's B * T whose logits exist at one time: equal chunks of at most step.logits_chunk, or of what the backend
/// wants (but of 256 rows at least, or all there are).
[[nodiscard]] std::int64_t choose_logits_rows(const Architecture& config, const StepShape& step, const BackendTraits& traits);

/// What a run does, as far as memory is concerned. Without a step the plan is for generation alone.
struct PlanRequest {
  std::optional<StepShape> step = std::nullopt;
  std::optional<DecodeShape> decode = std::nullopt;
  DataParallel parallel = {};  // of training
  /// Optimizers of the parameters; empty: default_groups() of the step's optimizer.
  std::vector<ParameterGroup> groups = {};
};

/// One state of an optimizer, of all parameters that it updates.
struct PlannedState {
  std::string name = {};  // as OptimizerState's
  OptimizerKind optimizer = OptimizerKind::kAdamW;
  PlanSlot slot = PlanSlot::kOptimizerState;
  FlatExtent extent = {};

  [[nodiscard]] bool covers(const ParameterSpec& spec) const {
    const std::int64_t place = spec.place(extent.per);
    return place >= extent.first && place < extent.first + extent.num_elements;
  }
  /// As a checkpoint names a parameter's.
  [[nodiscard]] std::string stored_name(const ParameterSpec& spec) const { return name + "." + spec.name; }
};
/// In the order of their memory. Throws InternalError when groups of one optimizer keep different states, or states for each
/// neuron of tensors that processes divide.
[[nodiscard]] std::vector<PlannedState> planned_states(const ParameterLayout& parameters);

/// Pure function of model, request and backend traits.
class MemoryPlan {
 public:
  /// Throws UserError when a size overflows, InternalError without a step and a decode, when their dtypes differ, or in
  /// float16 without master weights.
  MemoryPlan(const Architecture& config, const PlanRequest& request, const BackendTraits& traits);

  [[nodiscard]] std::span<const PlanItem> items() const { return items_; }
  [[nodiscard]] const BytesByCategory& by_category() const { return by_category_; }
  [[nodiscard]] std::int64_t total_bytes() const { return by_category_.total(); }

  /// Of weights and activations.
  [[nodiscard]] DType dtype() const { return step_ ? step_->dtype : decoder_->shape().dtype; }
  /// The parameters that the optimizer updates: kMasterWeights where there are any, else kWeights.
  [[nodiscard]] PlanSlot master_slot() const;
  /// Their type: float32, but bfloat16 in training without a float32 copy.
  [[nodiscard]] DType master_dtype() const { return master_slot() == PlanSlot::kWeights ? dtype() : DType::kFloat32; }

  [[nodiscard]] const Architecture& model() const { return config_; }
  [[nodiscard]] const ParameterLayout& parameters() const { return parameters_; }
  [[nodiscard]] const DataParallel& parallel() const { return parallel_; }
  /// Of the optimizers; none in a plan without training.
  [[nodiscard]] std::span<const PlannedState> states() const { return states_; }
  /// Of kGradients.
  [[nodiscard]] const GradientLayout& gradients() const { return gradients_; }
  /// Throws InternalError when the plan has no step / no decode.
  [[nodiscard]] const StepShape& step() const;
  /// A micro-step with gradients; throws InternalError when the plan has no training. Made at each call.
  [[nodiscard]] PlacedTape training() const;
  /// The same batch without gradients. In a plan with training its activations lie where those of training do, of which they
  /// are the forward pass's.
  [[nodiscard]] PlacedTape evaluation() const;
  /// Throws InternalError when the plan has no step.
  [[nodiscard]] const ArenaLayout& activations() const;
  [[nodiscard]] const DecodeTapes& decoder() const;
  /// The calls of every pass of generation. Made at each call.
  [[nodiscard]] std::vector<DecodePass> decode_passes() const;
  /// Rows of B * T whose logits exist at one time.
  [[nodiscard]] std::int64_t logits_rows() const { return logits_rows_; }

 private:
  void add(PlanSlot slot, MemoryCategory category, std::string name, std::int64_t size_bytes);
  void note_workspace(const Tape& tape, const BackendTraits& traits);

  Architecture config_;
  DataParallel parallel_;
  ParameterLayout parameters_;
  std::vector<PlannedState> states_;
  GradientLayout gradients_;
  std::optional<StepShape> step_;
  std::shared_ptr<const ArenaLayout> activations_;
  std::optional<DecodeTapes> decoder_;
  std::int64_t logits_rows_ = 0;
  std::int64_t workspace_bytes_ = 0;
  std::int64_t alignment_bytes_ = 1;
  std::vector<PlanItem> items_;
  BytesByCategory by_category_;
};

/// The plan made real: one buffer per item. Move-only; frees everything on destruction.
class PlannedMemory {
 public:
  /// Allocates every item from `resource`, which must outlive this. Throws OutOfMemoryError.
  PlannedMemory(const MemoryPlan& plan, MemoryResource& resource);

  /// The item's bytes; throws InternalError when the plan has no such item.
  [[nodiscard]] std::span<std::byte> bytes(PlanSlot slot) const;
  /// A slot of parameters, gradients or optimizer state, of which rank `rank` holds what the plan gives it.
  [[nodiscard]] FlatTensor flat(const MemoryPlan& plan, PlanSlot slot, std::int64_t rank) const;
  /// `shape` elements of `dtype` at `offset_bytes` of the item.
  [[nodiscard]] TensorView view(PlanSlot slot, std::int64_t offset_bytes, DType dtype, const Shape& shape) const;
  /// The tape's calls, with operands in this memory.
  [[nodiscard]] std::vector<Call> bind(const PlacedTape& placed) const;
  /// An operand of the tape.
  [[nodiscard]] TensorView bind(const PlacedTape& placed, const ConstTensorView& operand) const;
  /// (1) float32.
  [[nodiscard]] TensorView scalar(PlanScalar scalar) const;
  /// (micro_steps) float32: the sums of losses of a step's micro-steps.
  [[nodiscard]] TensorView micro_step_losses(std::int64_t micro_steps) const;

 private:
  std::vector<std::pair<PlanSlot, Buffer>> buffers_;
};

}  // namespace virgil
