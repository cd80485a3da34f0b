// What the processes of a data parallel run send each other in a step.
#pragma once

#include <cstdint>

#include "virgil/plan/training_plan.h"

namespace virgil {

/// Bytes that each process sends (and receives) in one step. A reduce-scatter or an all-gather of n bytes over R processes
/// sends n (R - 1) / R from each, which is the least there is (Patarasuk, Yuan 2009).
struct CommunicationVolume {
  std::int64_t gradient_bytes = 0;  // beside the backward pass
  std::int64_t weight_bytes = 0;    // after the update
  [[nodiscard]] std::int64_t total_bytes() const { return gradient_bytes + weight_bytes; }
};

/// Gradients travel as shape.parallel.wire; sums come back as float32. Small messages (losses, norms) are left out. Throws
/// UserError when a size is invalid or overflows.
[[nodiscard]] CommunicationVolume communication_volume(const TrainingShape& shape);

}  // namespace virgil
