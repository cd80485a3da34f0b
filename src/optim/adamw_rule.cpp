#include "optim/adamw_rule.h"

#include <cstdint>

#include "virgil/ops/adamw.h"

namespace virgil {

void AdamWRule::enqueue(Backend& backend, const UpdatePiece& piece, const UpdateStep& step) const {
  const AdamWStep numbers{.learning_rate = static_cast<float>(step.learning_rate),
                          .beta1 = static_cast<float>(options_.beta1),
                          .beta2 = static_cast<float>(options_.beta2),
                          .eps = static_cast<float>(options_.eps),
                          .weight_decay = static_cast<float>(step.weight_decay),
                          .t = step.t,
                          .max_norm = static_cast<float>(step.max_norm),
                          .grad_scale = static_cast<float>(step.grad_scale),
                          .rounding = {step.seed, RandomPurpose::kStochasticRounding, 0, static_cast<std::uint32_t>(step.t)},
                          .first_index = piece.first_index};
  backend.run(ops::AdamWUpdate{.param = piece.weights,
                               .working = piece.working,
                               .m = piece.states[0],
                               .v = piece.states[1],
                               .grad = piece.gradients,
                               .norm = step.norm,
                               .step = numbers});
}

}  // namespace virgil
