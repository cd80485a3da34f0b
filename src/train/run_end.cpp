#include "train/run_end.h"

#include <fmt/format.h>

#include <filesystem>

#include "virgil/base/shell_quote.h"
#include "virgil/config/program_name.h"
#include "virgil/train/run_folder.h"

namespace virgil {

std::string resume_command(const CommandLine& line, const TrainConfig& config, const ProcessGroup& group) {
  return fmt::format("{} --resume --out_dir {} --model_name {}", train_command(line.program_folder, group.size()),
                     shell_quote(config.out_dir), shell_quote(config.model_name));
}

bool is_finished(const TrainConfig& config, const TrainingState& state) {
  const bool lacks_evaluation = config.eval_interval > 0 && state.last_eval_step >= 0 && state.last_eval_step < state.step;
  return state.step > config.max_iters || (state.step == config.max_iters && !lacks_evaluation);
}

void report_end(RunStatus status, const TrainingState& state, const TrainConfig& config, const std::string& resume,
                Logger& log) {
  const std::filesystem::path run = run_folder(config);
  const auto checkpoints = list_step_checkpoints(run);
  const std::string newest = checkpoints.empty() ? "none" : checkpoints.back().string();
  if (status == RunStatus::kInterrupted) {
    log.info(fmt::format("stopped at step {}. Checkpoint: {}. Resume with: {}", state.step, newest, resume));
  } else if (status == RunStatus::kDiverged) {
    log.warn(fmt::format(
        "stopped at step {}: {} steps in a row were not finite. {}", state.step, config.max_bad_steps,
        checkpoints.empty()
            ? "There is no checkpoint yet: start again with --overwrite and a lower learning_rate"
            : fmt::format("The last good checkpoint stands: {}. Resume from it with: {} --learning_rate {:.3g} --min_lr {:.3g}",
                          newest, resume, config.learning_rate / 2, config.min_lr / 2)));
  } else {
    log.info(fmt::format("finished at step {}. Checkpoint: {}", state.step, newest));
    if (state.best_step > 0) {
      log.info(fmt::format("best validation loss {:.4f} at step {}: {}", state.best_val_loss, state.best_step,
                           (run / "best").string()));
    }
  }
}

}  // namespace virgil
