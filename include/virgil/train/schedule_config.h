// The learning-rate schedule and the optimizer that a configuration asks for.
#pragma once

#include "virgil/config/train_config.h"
#include "virgil/optim/lr_schedule.h"
#include "virgil/optim/update_rule.h"

namespace virgil {

/// `config` is resolved.
[[nodiscard]] LrSchedule lr_schedule_of(const TrainConfig& config);
[[nodiscard]] OptimizerOptions optimizer_options_of(const TrainConfig& config);

}  // namespace virgil
