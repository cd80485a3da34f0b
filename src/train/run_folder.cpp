#include "virgil/train/run_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "checkpoint_format.h"
#include "virgil/base/error.h"
#include "virgil/base/shape.h"

namespace virgil {

namespace {

namespace fs = std::filesystem;

bool holds_run(const fs::path& run) {
  return fs::exists(run_config_path(run)) || fs::exists(metrics_path(run)) || !list_step_checkpoints(run).empty() ||
         fs::exists(run / "best") || fs::exists(with_suffix(run / "best", kOldSuffix));
}

void remove_run(FileSystem& files, const fs::path& run) {
  std::vector<fs::path> checkpoints = list_step_checkpoints(run);
  checkpoints.push_back(run / "best");
  for (const fs::path& checkpoint : checkpoints) {
    files.remove_all(checkpoint);
    files.remove_all(with_suffix(checkpoint, kOldSuffix));
  }
  prune_checkpoints(files, run, 0);  // leftovers of killed saves
  files.remove_all(metrics_path(run));
  files.remove_all(run_config_path(run));
}

bool is_given(const CommandLine& command_line, std::string_view key) {
  return std::ranges::find(command_line.set_keys, key) != command_line.set_keys.end();
}

/// A run that goes on with another batch, perhaps on another machine, or in several processes keeps the tokens of its steps;
/// unless whole batches do not make them up.
void keep_tokens_per_step(TrainConfig& config, const TrainConfig& saved, const CommandLine& command_line,
                          std::int64_t processes) {
  if ((config.batch_size == saved.batch_size && processes == 1) || saved.batch_size == 0) return;
  if (is_given(command_line, "total_batch_size") || is_given(command_line, "grad_accum_steps")) return;
  const std::int64_t sequences = saved.total_batch_size == 0 ? checked_multiply(saved.batch_size, saved.grad_accum_steps)
                                                             : saved.total_batch_size / config.block_size;
  // Several processes fit their batch to the share themselves.
  if (processes == 1 && config.batch_size != 0 && sequences % config.batch_size != 0) {
    config.total_batch_size = 0;
    return;
  }
  config.total_batch_size = checked_multiply(sequences, config.block_size);
  config.grad_accum_steps = 1;  // follows
}

}  // namespace

fs::path run_folder(const TrainConfig& config) { return fs::path(config.out_dir) / config.model_name; }
fs::path metrics_path(const fs::path& run) { return run / "metrics.jsonl"; }
fs::path run_config_path(const fs::path& run) { return run / "run_config.json"; }

TrainConfig load_run_config(const CommandLine& command_line, std::int64_t processes) {
  const fs::path run = run_folder(command_line.config);
  if (!fs::exists(run_config_path(run))) {
    throw user_error("{}: there is no run to resume; check out_dir and model_name, or start one without --resume",
                     run.string());
  }
  TrainConfig config;
  apply_config_file(config, run_config_path(run));
  const std::string saved_tokenizer = config.tokenizer;
  const TrainConfig saved = config;
  for (const ConfigKey& key : config_keys()) {
    if (!is_given(command_line, key.name) && key.saved) continue;
    if (key.name == "init_from") continue;  // where a run began is not for a later command to say
    std::visit([&](auto member) { config.*member = command_line.config.*member; }, key.member);
  }
  if (is_given(command_line, "max_iters")) config.epochs = 0;  // the newest word on how long
  keep_tokens_per_step(config, saved, command_line, processes);
  if (config.tokenizer != saved_tokenizer) {
    throw user_error("{}: the run's tokenizer is {}, and a run that goes on cannot change to {}; leave --tokenizer out",
                     run.string(), saved_tokenizer, config.tokenizer);
  }
  config.out_dir = command_line.config.out_dir;  // the folder may have been moved since it was written
  config.model_name = command_line.config.model_name;
  return config;
}

void check_run_folder(const TrainConfig& config) {
  const fs::path run = run_folder(config);
  if (config.resume && config.overwrite) throw user_error("--resume and --overwrite exclude each other: choose one");
  if (fs::exists(run) && !fs::is_directory(run)) {
    throw user_error("{}: not a folder; choose another model_name or out_dir", run.string());
  }
  if (config.resume || config.overwrite || !holds_run(run)) return;
  throw user_error(
      "{}: this folder already holds a run; go on with --resume, replace it with --overwrite, or choose another "
      "--model_name",
      run.string());
}

void prepare_run_folder(FileSystem& files, const TrainConfig& config) {
  const fs::path run = run_folder(config);
  files.create_directories(run);
  if (config.overwrite) remove_run(files, run);
  write_file_atomically(files, run_config_path(run), config_to_json(config));
}

LoadedCheckpoint load_newest_checkpoint(const fs::path& run) {
  const auto checkpoints = list_step_checkpoints(run);
  if (checkpoints.empty()) {
    throw user_error("{}: the run has no checkpoint to resume from; start again with --overwrite", run.string());
  }
  try {
    return load_checkpoint(checkpoints.back());
  } catch (const UserError& error) {
    const std::string remedy = checkpoints.size() > 1 ? fmt::format("remove that folder to resume from {}",
                                                                    checkpoints[checkpoints.size() - 2].string())
                                                      : std::string("it is the run's only one: start again with --overwrite");
    throw user_error("{}; {}", error.what(), remedy);
  }
}

}  // namespace virgil
