// The learning-rate schedule that a configuration asks for.
#pragma once

#include "virgil/optim/lr_schedule.h"
#include "virgil/train/train_config.h"

namespace virgil {

/// `config` is resolved.
[[nodiscard]] LrSchedule lr_schedule_of(const TrainConfig& config);

}  // namespace virgil
