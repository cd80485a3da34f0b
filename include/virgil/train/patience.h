// When a run ends before its last step.
#pragma once

#include "virgil/config/train_config.h"
#include "virgil/format/checkpoint.h"

namespace virgil {

/// Whether the last `patience` evaluations and more were no better than the best one. Depends on the state alone, so a resumed
/// run ends where one that was never stopped does.
[[nodiscard]] bool patience_is_over(const TrainConfig& config, const TrainingState& state);

/// Throws UserError where there are no evaluations to be patient with.
void check_patience(const TrainConfig& config, bool has_held_out_text);

}  // namespace virgil
