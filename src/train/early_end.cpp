#include "virgil/train/early_end.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "virgil/base/error.h"

namespace virgil {

namespace {

void check_evaluations(const std::string& key, const std::string& flag, const TrainConfig& config, bool has_held_out_text) {
  if (config.eval_interval == 0) {
    throw user_error("{}, and eval_interval is 0: there are no evaluations; give an --eval_interval, or {}", key, flag);
  }
  if (!has_held_out_text) {
    throw user_error("{}, and no text is held out to evaluate on; give a --val_fraction, or {}", key, flag);
  }
}

}  // namespace

EarlyEnd early_end_of(const TrainConfig& config, const TrainingState& state) {
  if (config.target_loss > 0 && state.best_step > 0 && state.best_val_loss <= config.target_loss) return EarlyEnd::kTargetLoss;
  if (config.patience == 0 || config.eval_interval == 0) return EarlyEnd::kNone;
  const std::int64_t waited = state.last_eval_step - std::max<std::int64_t>(0, state.best_step);
  return waited / config.eval_interval >= config.patience ? EarlyEnd::kPatience : EarlyEnd::kNone;
}

std::string describe_early_end(EarlyEnd end, const TrainConfig& config) {
  switch (end) {
    case EarlyEnd::kPatience:
      return config.patience == 1 ? "an evaluation found no better loss"
                                  : fmt::format("{} evaluations in a row found no better loss", config.patience);
    case EarlyEnd::kTargetLoss:
      return fmt::format("an evaluation found its target_loss of {} or less", config.target_loss);
    case EarlyEnd::kNone:
      break;
  }
  throw InternalError("a run that does not end early");
}

std::string_view flag_to_go_on(EarlyEnd end) {
  switch (end) {
    case EarlyEnd::kPatience:
      return "--patience 0";
    case EarlyEnd::kTargetLoss:
      return "--target_loss 0";
    case EarlyEnd::kNone:
      break;
  }
  throw InternalError("a run that does not end early");
}

void check_early_end(const TrainConfig& config, bool has_held_out_text) {
  if (config.patience > 0) {
    check_evaluations(fmt::format("patience is {} evaluations", config.patience), "--patience 0", config, has_held_out_text);
  }
  if (config.target_loss > 0) {
    check_evaluations(fmt::format("target_loss is {}", config.target_loss), "--target_loss 0", config, has_held_out_text);
  }
}

}  // namespace virgil
