// The folder of one run, out_dir/model_name, and what may happen to it.
//
//   run_config.json   the configuration as given
//   run_config.sha256 its SHA-256: a resumed run does not train on with a configuration that a flipped bit has changed
//   metrics.jsonl     every figure of every step
//   run.json          what stays the same while it runs, for each start (run_sessions.h)
//   events.out.*      the figures once more, for TensorBoard
//   step-00000500     checkpoints (checkpoint.h), the newest keep_last of them
//   best              checkpoint with the lowest validation loss
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "virgil/base/file_system.h"
#include "virgil/config/config_schema.h"
#include "virgil/config/train_config.h"
#include "virgil/format/checkpoint.h"

namespace virgil {

[[nodiscard]] std::filesystem::path run_folder(const TrainConfig& config);
[[nodiscard]] std::filesystem::path metrics_path(const std::filesystem::path& run);
[[nodiscard]] std::filesystem::path run_config_path(const std::filesystem::path& run);
[[nodiscard]] std::filesystem::path run_config_hash_path(const std::filesystem::path& run);

/// For --resume: the saved configuration of the run with the flags of this command line over it. The preset (--config) only
/// names the run: its keys are in the saved configuration. init_from stays as saved. Throws UserError when there is no run to
/// resume, the saved configuration is not as the run wrote it, or a flag asks for another tokenizer than the run's.
[[nodiscard]] TrainConfig load_run_config(const CommandLine& command_line, std::int64_t processes = 1);

/// Where nothing vouches for run_config.json (a run of a version that wrote no run_config.sha256): how it differs from what the
/// checkpoint was trained with, but for keys that a flag gives; for a warning. Empty where it does not, or its hash is right.
[[nodiscard]] std::string describe_config_changes(const std::filesystem::path& run, const LoadedCheckpoint& checkpoint,
                                                  const CommandLine& command_line);

/// Throws UserError when the folder holds a run and neither `resume` nor `overwrite` is set, and when `overwrite` would remove
/// what no run wrote. Touches nothing.
void check_run_folder(const TrainConfig& config);

/// The config as a run keeps it: what it reads and the folder of its tokens are named from the root, so that it can be resumed
/// from any folder.
[[nodiscard]] TrainConfig with_absolute_paths(TrainConfig config);

/// Makes the folder and writes run_config.json; with `overwrite` removes the files of the run that was there, and only those.
void prepare_run_folder(FileSystem& files, const TrainConfig& config);

/// The newest step checkpoint. Throws UserError when there is none, it is damaged, or a value in it is NaN or infinite. Where
/// none is left to resume from and the run's best is whole, the error offers `from_best`, a command that starts from it.
[[nodiscard]] LoadedCheckpoint load_newest_checkpoint(const std::filesystem::path& run, const std::string& from_best = "");

}  // namespace virgil
