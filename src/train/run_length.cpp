#include "train/run_length.h"

#include <fmt/format.h>

#include <cstdint>

#include "train/resumed_schedule.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/shape.h"
#include "virgil/config/config_text.h"

namespace virgil {

namespace {

void settle_resumed(const RunLength& run, Logger& log) {
  TrainConfig& config = run.config;
  const TrainConfig planned = planned_config(config, *run.checkpoint);
  const std::int64_t step = run.checkpoint->state.step;
  keep_planned_schedule(config, planned, step, run.command_line);
  run.given.warmup_iters = config.warmup_iters;
  if (config.lr_decay_iters != config.max_iters) run.given.lr_decay_iters = config.lr_decay_iters;
  if (config.total_batch_size != planned.total_batch_size) {
    log.warn(
        fmt::format("steps take {} tokens, and took {} until step {}: the learning rate was chosen for those; "
                    "--total_batch_size {} keeps them",
                    config.total_batch_size, planned.total_batch_size, step, planned.total_batch_size));
  } else if (config.batch_size != planned.batch_size) {
    log.info(fmt::format("config   batch_size is {} after {}, and grad_accum_steps {}: steps keep their {} tokens",
                         config.batch_size, planned.batch_size, config.grad_accum_steps, config.total_batch_size));
  }
  if (config.param_groups != planned.param_groups) {
    const ConfigKey& key = *find_config_key("param_groups");
    log.info(fmt::format("config   param_groups is {} after {}", excerpt(value_text(config, key)),
                         excerpt(value_text(planned, key))));
  }
  if (const auto rate = describe_resumed_rate(config, planned, step)) {
    rate->is_jump ? log.warn(rate->text) : log.info("rate     " + rate->text);
  }
}

}  // namespace

TrainConfig planned_config(const TrainConfig& otherwise, const LoadedCheckpoint& checkpoint) {
  if (checkpoint.state.config_json.empty()) return otherwise;
  TrainConfig planned;
  apply_config_json(planned, checkpoint.state.config_json, checkpoint.directory.string());
  return planned;
}

void settle_length(const RunLength& run, const Dataset& data, const BatchSampler& windows, Logger& log) {
  TrainConfig& config = run.config;
  if (config.epochs != 0) {
    const std::int64_t pass = config.sampling == "epoch" ? checked_multiply(windows.windows_per_pass(), config.block_size)
                                                         : static_cast<std::int64_t>(data.train.tokens.size());
    resolve_epochs(config, pass);
    run.given.max_iters = config.max_iters;
    log.info(fmt::format("config   epochs {:.6g} are {} steps (max_iters)", config.epochs, config.max_iters));
  }
  if (run.checkpoint != nullptr) return settle_resumed(run, log);
  if (config.warmup_iters == run.given.warmup_iters) return;
  log.info(fmt::format("config   warmup_iters is {} instead of {}: the run has {} steps", config.warmup_iters,
                       run.given.warmup_iters, config.max_iters));
}

}  // namespace virgil
