// What the processes of a run tell each other each step.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "virgil/dist/communicator.h"
#include "virgil/dist/process_group.h"
#include "virgil/train/metrics.h"

namespace virgil {

/// The processes of a run. Owns nothing; without a group the process runs alone.
struct Ranks {
  ProcessGroup* group = nullptr;
  Communicator* communicator = nullptr;  // over the backend's memory

  [[nodiscard]] int rank() const { return group == nullptr ? 0 : group->rank(); }
  [[nodiscard]] int size() const { return group == nullptr ? 1 : group->size(); }
  [[nodiscard]] bool is_root() const { return rank() == 0; }
};

/// All ranks' accounts of one step.
struct StepExchange {
  std::vector<double> losses;  // sums of losses of all micro-batches, in the order of their sequences
  std::vector<RankStep> ranks;
  bool stop_requested = false;  // on any of them
};

/// Gathers them; the same on every rank. `losses` are this rank's micro-steps', as many on every rank.
[[nodiscard]] StepExchange exchange_step(const Ranks& ranks, std::span<const double> losses, const RankStep& mine,
                                         bool stop_requested);

}  // namespace virgil
