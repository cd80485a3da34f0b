// Where the gradients that an update reads lie.
#pragma once

#include <cstdint>

#include "virgil/model/memory_plan.h"

namespace virgil {

/// What rank `rank` has of the gradients' sum: with sharding its part, which may lie in the whole.
inline FlatTensor summed_gradients(const MemoryPlan& plan, const PlannedMemory& memory, std::int64_t rank) {
  return memory.flat(plan, plan.parallel().shards_gradients() ? PlanSlot::kGradientPart : PlanSlot::kGradients, rank);
}

}  // namespace virgil
