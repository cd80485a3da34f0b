#include "virgil/optim/step_figures.h"

#include <numeric>
#include <span>
#include <vector>

namespace virgil {

StepFigures read_step_figures(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory) {
  std::vector<float> scalars(static_cast<std::size_t>(kNumPlanScalars + plan.step().micro_steps));
  backend.copy_to_host(std::as_writable_bytes(std::span(scalars)),
                       memory.view(PlanSlot::kScalars, 0, DType::kFloat32, {std::ssize(scalars)}));
  return {.loss_sums = {scalars.begin() + kNumPlanScalars, scalars.end()},
          .grad_norm = scalars[static_cast<std::size_t>(PlanScalar::kGradientNorm)]};
}

}  // namespace virgil
