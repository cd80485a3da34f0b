// step_work by the parts of a micro-step, in the order in which they run.
#pragma once

#include <cstdint>

#include "virgil/plan/training_plan.h"

namespace virgil {

/// Multiply-adds of a token, as step_work counts them.
struct StepWorkParts {
  double blocks_forward = 0;  // of all blocks
  double head = 0;            // the classifier, forward and backward
  double block_backward = 0;  // of each block, with what it runs again
  [[nodiscard]] double total(std::int64_t num_layers) const {
    return blocks_forward + head + static_cast<double>(num_layers) * block_backward;
  }
};
[[nodiscard]] StepWorkParts step_work_parts(const TrainingShape& shape, const BackendTraits& traits);

}  // namespace virgil
