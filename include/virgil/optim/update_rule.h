// How one kind of optimizer changes parameters: the calls of an update, given the tensors and the numbers of a step.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "virgil/backend/backend.h"
#include "virgil/model/memory_plan.h"
#include "virgil/model/optimizer_traits.h"

namespace virgil {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
};

struct MuonOptions {
  double momentum = 0.95;
  double beta2 = 0.95;  // NorMuon's, of its second moments
};

/// Of a run, whatever its optimizers.
struct OptimizerOptions {
  double weight_decay = 0.1;  // times a group's factor
  double max_norm = 1.0;      // clip by global norm; 0: off
  std::uint64_t seed = 0;     // of stochastic rounding
  AdamWOptions adamw = {};
  MuonOptions muon = {};
};

/// The numbers of one update, the same for all parameters of a group.
struct UpdateStep {
  std::int64_t t = 1;  // 1 is the first
  double learning_rate = 0;
  double weight_decay = 0;
  double max_norm = 0;    // gradients are scaled by min(1, max_norm / norm); 0: not
  double grad_scale = 1;  // gradients are multiplied by this before anything else; the norm includes it
  ConstTensorView norm;   // (1) float32, of all gradients; when it is not finite nothing may be changed
  std::uint64_t seed = 0;
};

/// What is updated by one call: a run of elements, (n), or, where the optimizer needs whole tensors, a parameter in its shape.
struct UpdatePiece {
  TensorView weights;                        // float32, or bfloat16 to be rounded stochastically
  TensorView working;                        // becomes weights rounded to nearest; absent where the passes read `weights`
  std::span<const TensorView> states;        // in the order of OptimizerTraits::states, (units of the storage)
  ConstTensorView gradients;                 // float32
  std::int64_t first_index = 0;              // numbers the first element, the same whatever the number of processes
  const ParameterSpec* parameter = nullptr;  // where it is updated as a whole
};

class UpdateRule {
 public:
  virtual ~UpdateRule() = default;
  /// Asks the backend for the update; waits for nothing.
  virtual void enqueue(Backend& backend, const UpdatePiece& piece, const UpdateStep& step) const = 0;
};

/// `plan` and `memory` are the run's; they outlive the rule.
[[nodiscard]] std::unique_ptr<UpdateRule> make_update_rule(OptimizerKind kind, const OptimizerOptions& options,
                                                           const MemoryPlan& plan, const PlannedMemory& memory,
                                                           std::int64_t alignment_bytes);

}  // namespace virgil
