// What the host learns of a step.
#pragma once

#include <vector>

#include "virgil/backend/backend.h"
#include "virgil/model/memory_plan.h"

namespace virgil {

struct StepFigures {
  std::vector<double> loss_sums;  // nats, by micro-step
  double grad_norm = 0;           // as Optimizer::enqueue_norm() computed it last
};

/// Waits once for all that was asked of the backend. The plan is that of a training run, and each of its micro-steps has run.
[[nodiscard]] StepFigures read_step_figures(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory);

}  // namespace virgil
