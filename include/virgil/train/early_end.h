// When a run ends before its last step.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "virgil/config/train_config.h"
#include "virgil/format/checkpoint.h"

namespace virgil {

enum class EarlyEnd : std::uint8_t {
  kNone,
  kPatience,    // the last `patience` evaluations and more were no better than the best one
  kTargetLoss,  // an evaluation found target_loss or less
};

/// Depends on the state alone, so a resumed run ends where one that was never stopped does.
[[nodiscard]] EarlyEnd early_end_of(const TrainConfig& config, const TrainingState& state);
[[nodiscard]] inline bool ends_early(const TrainConfig& config, const TrainingState& state) {
  return early_end_of(config, state) != EarlyEnd::kNone;
}

/// "3 evaluations in a row found no better loss". Throws InternalError for kNone, as the next does.
[[nodiscard]] std::string describe_early_end(EarlyEnd end, const TrainConfig& config);
/// With which such a run goes on: "--patience 0".
[[nodiscard]] std::string_view flag_to_go_on(EarlyEnd end);

/// Throws UserError where a key asks for evaluations and there are none.
void check_early_end(const TrainConfig& config, bool has_held_out_text);

}  // namespace virgil
