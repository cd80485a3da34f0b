#include "virgil/train/patience.h"

#include <algorithm>
#include <cstdint>

#include "virgil/base/error.h"

namespace virgil {

bool patience_is_over(const TrainConfig& config, const TrainingState& state) {
  if (config.patience == 0 || config.eval_interval == 0) return false;
  const std::int64_t waited = state.last_eval_step - std::max<std::int64_t>(0, state.best_step);
  return waited / config.eval_interval >= config.patience;
}

void check_patience(const TrainConfig& config, bool has_held_out_text) {
  if (config.patience == 0) return;
  if (config.eval_interval == 0) {
    throw user_error(
        "patience is {} evaluations, and eval_interval is 0: there are none; give an --eval_interval, or --patience 0",
        config.patience);
  }
  if (!has_held_out_text) {
    throw user_error(
        "patience is {} evaluations, and no text is held out to evaluate on; give a --val_fraction, or --patience 0",
        config.patience);
  }
}

}  // namespace virgil
