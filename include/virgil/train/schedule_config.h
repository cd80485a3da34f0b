// The learning-rate schedule that a configuration asks for.
#pragma once

#include "virgil/config/train_config.h"
#include "virgil/optim/lr_schedule.h"

namespace virgil {

/// `config` is resolved.
[[nodiscard]] LrSchedule lr_schedule_of(const TrainConfig& config);

}  // namespace virgil
