// How the ranks of a data parallel run sum their gradients and share their updates.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "virgil/backend/backend.h"
#include "virgil/dist/communicator.h"
#include "virgil/model/gpt.h"
#include "virgil/model/memory_plan.h"
#include "virgil/optim/optimizer.h"

namespace virgil {

/// Reduces gradients bucket by bucket while the backward pass goes on, as the plan's ZeRO stage says: stages 0 and 1 once a
/// step, in the last micro-step's backward; stage 2, whose gradients have no room to add up in, in that of every micro-step.
/// Owns nothing.
///
/// Sums of a stage are the bits of every other as long as a step has one micro-step; with more, stage 2 adds in another order.
class GradientExchange final : public GradientObserver {
 public:
  /// Lends the plan's staging memory to the communicator.
  GradientExchange(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory, Communicator& communicator);

  /// Makes the weights those of rank 0 on every rank (of sharded master weights: every rank's part those of its rank), after
  /// they were loaded or made.
  void share_weights(Gpt& gpt);
  /// Before a step's first micro-step: gradients are zero.
  void begin_step();
  /// What a micro-step's pass tells its progress; null where nothing is reduced yet.
  [[nodiscard]] GradientObserver* observe(bool is_last_micro_step);
  void before_bucket(std::size_t bucket) override;
  void after_bucket(std::size_t bucket) override;
  /// After the last micro-step: what the backend does from now on finds the sums, and the optimizer the norms of all parts.
  void finish_step(Optimizer& optimizer);
  /// After an update: every rank has all weights.
  void share_update();

 private:
  void gather_weights();
  void keep_part(std::size_t bucket);
  [[nodiscard]] bool overlap(std::size_t a, std::size_t b) const;
  [[nodiscard]] TensorView gradients_of(std::size_t bucket) const;

  Backend& backend_;
  const MemoryPlan& plan_;
  Communicator& communicator_;
  FlatTensor weights_;                     // that the passes read
  FlatTensor whole_masters_;               // absent where they are sharded, or the same as weights_
  TensorView gradients_;                   // as GradientLayout says
  FlatTensor gradient_part_;               // of stage 2
  std::set<std::size_t> in_window_;        // stage 2: the buckets whose sums lie in the window
  std::vector<CollectiveTicket> tickets_;  // by bucket, of the last reduction
  std::int64_t begun_micro_steps_ = 0;
};

}  // namespace virgil
