// The update of a model's parameters, each by the optimizer of its group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "virgil/backend/backend.h"
#include "virgil/model/memory_plan.h"
#include "virgil/optim/update_rule.h"

namespace virgil {

/// Updates a plan's weights from its gradients: the float32 master weights, and in the same pass the 16-bit weights that the
/// passes read, where there are any; bfloat16 weights without a float32 copy are rounded stochastically. Knows which elements
/// or tensors are this rank's; how they change is an UpdateRule's. Owns no tensors; states live in the plan's memory.
class Optimizer {
 public:
  /// `rank` of the plan's processes.
  Optimizer(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory, const OptimizerOptions& options,
            std::int64_t rank = 0);

  /// Zeroes the states: those before the first update.
  void reset();
  /// Computes the global gradient norm before clipping. Where the loss was multiplied by `loss_scale`, a power of two, the norm
  /// and the update are those of the loss itself. Waits for nothing.
  void enqueue_norm(double loss_scale = 1);
  /// Applies update number `t` (1 is the first), clipped by the norm that was computed last; when that is not finite nothing is
  /// changed. Waits for nothing.
  void enqueue_update(std::int64_t t, double learning_rate, double loss_scale = 1);
  /// Both, one after the other, in one process; returns the norm.
  double step(std::int64_t t, double learning_rate, double loss_scale = 1);
  /// With several processes: norms of this rank's part of the gradients, into part_norms(). The caller gathers those of all
  /// ranks before enqueue_norm() and, where the optimizer is sharded, the weights after enqueue_update().
  void enqueue_part_norms();
  /// (processes * buckets) float32: norms of the gradients' parts, rank by rank. enqueue_part_norms() sets this rank's.
  [[nodiscard]] TensorView part_norms() const { return part_norms_; }
  /// Of the plan's states, in their order: the whole, or this rank's part.
  [[nodiscard]] std::span<const FlatTensor> states() const { return states_; }

 private:
  /// Of the optimizer of one group.
  struct GroupRule {
    std::unique_ptr<UpdateRule> rule;
    std::vector<std::size_t> states;  // of states_
  };

  void enqueue_elements(const ParameterRange& range, const UpdateStep& step);
  void enqueue_whole_tensors(const ParameterRange& range, const UpdateStep& step);
  [[nodiscard]] bool is_mine(const ParameterSpec& spec) const;
  /// Elements of one group, in one part, seen as `shape`: of `parameter`, where it is updated as a whole.
  void enqueue_piece(std::size_t group, std::int64_t first, const Shape& shape, std::int64_t first_index,
                     const UpdateStep& step, const ParameterSpec* parameter = nullptr);

  Backend& backend_;
  const ParameterLayout& layout_;
  DataParallel parallel_;
  std::int64_t rank_;
  OptimizerOptions options_;
  FlatTensor weights_, working_;  // working_ is absent where weights_ are what the passes read
  std::vector<FlatTensor> states_;
  std::vector<GroupRule> rules_;  // by group
  FlatTensor gradients_;          // the whole, or this rank's part
  TensorView norm_;               // (1) float32
  TensorView part_norms_;         // absent in one process
};

}  // namespace virgil
