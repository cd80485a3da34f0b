#include "virgil/train/run_folder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <system_error>
#include <variant>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/nearest_name.h"
#include "virgil/base/paths.h"
#include "virgil/base/sha256.h"
#include "virgil/base/shape.h"
#include "virgil/config/config_text.h"
#include "virgil/data/input_files.h"
#include "virgil/format/checkpoint_marks.h"
#include "virgil/format/finite_check.h"

namespace virgil {

namespace {

namespace fs = std::filesystem;

/// Everything in a run's folder that --overwrite replaces, but its leftovers: checkpoints, under their names and as ".old".
std::vector<fs::path> checkpoint_folders(const fs::path& run) {
  std::vector<fs::path> folders;
  std::vector<fs::path> checkpoints = list_step_checkpoints(run);
  checkpoints.push_back(run / kBestCheckpoint);
  for (const fs::path& checkpoint : checkpoints) {
    for (const fs::path& path : {checkpoint, with_suffix(checkpoint, kOldSuffix)}) {
      if (is_name_taken(path)) folders.push_back(path);
    }
  }
  return folders;
}

/// What else of it is the run's own, whatever stands under these names.
std::vector<fs::path> run_files(const fs::path& run) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator entry(run, error); !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (is_run_file(entry->path().filename().string())) paths.push_back(entry->path());
  }
  std::ranges::sort(paths);
  return paths;
}

bool holds_run(const fs::path& run) {
  return path_exists(run_config_path(run)) || path_exists(metrics_path(run)) || !checkpoint_folders(run).empty();
}

/// Throws UserError where --overwrite would remove what no run wrote.
void check_only_own(const fs::path& run) {
  std::vector<std::string> strangers;
  for (const fs::path& path : run_files(run)) {
    if (is_folder(path)) strangers.push_back(path.filename().string());
  }
  for (const fs::path& folder : checkpoint_folders(run)) {
    if (!is_folder(folder) || fs::is_symlink(folder)) {
      strangers.push_back(folder.filename().string());
      continue;
    }
    for (const fs::path& stranger : strangers_in(folder)) {
      strangers.push_back((folder.filename() / stranger.filename()).string());
    }
  }
  if (strangers.empty()) return;
  constexpr std::size_t kMostNamed = 5;
  const std::size_t more = strangers.size() - std::min(strangers.size(), kMostNamed);
  strangers.resize(std::min(strangers.size(), kMostNamed));
  throw user_error(
      "{}: --overwrite would remove what no run wrote: {}{}. Nothing was removed; move that elsewhere, or choose another "
      "--model_name",
      run.string(), fmt::join(strangers, ", "), more == 0 ? "" : fmt::format(" and {} more", more));
}

void remove_run(FileSystem& files, const fs::path& run) {
  check_only_own(run);
  for (const fs::path& folder : checkpoint_folders(run)) remove_checkpoint(files, folder);
  remove_leftovers(files, run);
  for (const fs::path& path : run_files(run)) files.remove_all(path);
}

/// As sha256sum writes it.
std::string hash_line(std::string_view config_text) { return fmt::format("{}  {}\n", sha256_hex(config_text), kRunConfigFile); }

/// The hash stands before the configuration does, beside that of the one before: whenever the process dies, one of them is
/// right.
void write_run_config(FileSystem& files, const fs::path& run, const std::string& text) {
  const std::string hash = hash_line(text);
  std::string both = hash;
  if (path_exists(run_config_path(run))) both += hash_line(read_file(run_config_path(run), kMaxConfigBytes));
  write_file_atomically(files, run_config_hash_path(run), both);
  write_file_atomically(files, run_config_path(run), text);
  write_file_atomically(files, run_config_hash_path(run), hash);
}

enum class ConfigFileState { kAsWritten, kChanged, kUnknown };

ConfigFileState state_of_run_config(const fs::path& run) {
  if (!path_exists(run_config_hash_path(run))) return ConfigFileState::kUnknown;  // of a version that wrote none
  const std::string hashes = read_file(run_config_hash_path(run), kMaxConfigBytes);
  const std::string hash = hash_line(read_file(run_config_path(run), kMaxConfigBytes));
  return hashes.find(hash) != hashes.npos ? ConfigFileState::kAsWritten : ConfigFileState::kChanged;
}

bool is_given(const CommandLine& command_line, std::string_view key) {
  return std::ranges::find(command_line.set_keys, key) != command_line.set_keys.end();
}

/// A run resumed with another batch size, perhaps on another machine, or in several processes keeps the tokens of its steps;
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
fs::path metrics_path(const fs::path& run) { return run / kMetricsFile; }
fs::path run_config_path(const fs::path& run) { return run / kRunConfigFile; }
fs::path run_config_hash_path(const fs::path& run) { return run / kRunConfigHashFile; }

TrainConfig load_run_config(const CommandLine& command_line, std::int64_t processes) {
  const fs::path run = run_folder(command_line.config);
  if (!path_exists(run_config_path(run))) {
    const std::string near = path_exists(run) ? std::string() : nearest_path(run);
    throw user_error("{}: there is no run to resume; {}check out_dir and model_name, or start one without --resume",
                     run.string(), near.empty() ? "" : fmt::format("did you mean {}? If not, ", near));
  }
  if (state_of_run_config(run) == ConfigFileState::kChanged) {
    throw user_error(
        "{}: has changed since the run wrote it (its SHA-256 is not the one in {}): it is damaged or was edited. Restore it from a copy; "
        "or, if you edited it, remove {} and resume again, which names what differs from the checkpoint",
        run_config_path(run).string(), kRunConfigHashFile, run_config_hash_path(run).string());
  }
  TrainConfig config;
  config.split_documents = false;  // what runs did that were begun before the key was there, and so do not name it
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
    throw user_error("{}: the run's tokenizer is {}, and a resumed run cannot change to {}; leave --tokenizer out",
                     run.string(), saved_tokenizer, config.tokenizer);
  }
  config.out_dir = command_line.config.out_dir;  // the folder may have been moved since it was written
  config.model_name = command_line.config.model_name;
  return config;
}

void check_run_folder(const TrainConfig& config) {
  const fs::path run = run_folder(config);
  if (config.resume && config.overwrite) throw user_error("--resume and --overwrite exclude each other: choose one");
  if (path_exists(run) && !is_folder(run)) {
    throw user_error("{}: not a folder; choose another model_name or out_dir", run.string());
  }
  if (config.overwrite) check_only_own(run);
  if (config.resume || config.overwrite || !holds_run(run)) return;
  throw user_error(
      "{}: this folder already holds a run; continue it with --resume, replace it with --overwrite, or choose another "
      "--model_name",
      run.string());
}

TrainConfig with_absolute_paths(TrainConfig config) {
  for (std::vector<std::string>* inputs : {&config.input, &config.val_input}) {
    for (std::string& input : *inputs) input = absolute_input(input);
  }
  if (config.cache_dir != "auto" && config.cache_dir != "none") config.cache_dir = fs::absolute(config.cache_dir).string();
  return config;
}

void prepare_run_folder(FileSystem& files, const TrainConfig& config) {
  const fs::path run = run_folder(config);
  files.create_directories(run);
  if (config.overwrite) remove_run(files, run);
  write_run_config(files, run, config_to_json(with_absolute_paths(config)));
}

namespace {

/// Keys that name files and folders, which may have been moved and be named from elsewhere.
bool is_place(std::string_view key) {
  return key == "out_dir" || key == "model_name" || key == "init_from" || key == "input" || key == "val_input" ||
         key == "cache_dir";
}

}  // namespace

std::string describe_config_changes(const fs::path& run, const LoadedCheckpoint& checkpoint, const CommandLine& command_line) {
  if (state_of_run_config(run) == ConfigFileState::kAsWritten) return "";
  TrainConfig saved;
  TrainConfig trained;
  try {
    apply_config_file(saved, run_config_path(run));
    apply_config_json(trained, checkpoint.state.config_json, (checkpoint.directory / kStateFile).string());
    // What both leave to Virgil is the same on both sides.
    resolve_config(saved);
    resolve_config(trained);
  } catch (const UserError& error) {
    return fmt::format("{}: cannot be compared with what {} was trained with: {}", run_config_path(run).string(),
                       checkpoint.directory.filename().string(), error.what());
  }
  std::string changes;
  for (const ConfigKey& key : config_keys()) {
    if (!key.saved || is_place(key.name) || is_given(command_line, key.name)) continue;
    const std::string is = value_text(saved, key);
    const std::string was = value_text(trained, key);
    if (is != was)
      changes += fmt::format("{}{} is {} and was {}", changes.empty() ? "" : ", ", key.name, excerpt(is), excerpt(was));
  }
  if (changes.empty()) return "";
  return fmt::format("{}: differs from what {} was trained with: {}; give a flag for each that is not meant",
                     run_config_path(run).string(), checkpoint.directory.filename().string(), changes);
}

namespace {

bool is_whole(const fs::path& checkpoint) {
  try {
    check_finite(load_checkpoint(checkpoint, CheckpointParts::kWeights));
    return true;
  } catch (const UserError&) {
    return false;
  }
}

/// For a run without a checkpoint to resume from.
std::string start_again(const fs::path& run, const std::string& from_best) {
  if (from_best.empty() || !is_whole(run / kBestCheckpoint)) return "start again with --overwrite";
  return fmt::format("{} is intact: start a new run from its weights with {}; or start again with --overwrite",
                     (run / kBestCheckpoint).string(), from_best);
}

}  // namespace

LoadedCheckpoint load_newest_checkpoint(const fs::path& run, const std::string& from_best) {
  const auto checkpoints = list_step_checkpoints(run);
  if (checkpoints.empty()) {
    throw user_error("{}: the run has no checkpoint to resume from; {}", run.string(), start_again(run, from_best));
  }
  try {
    LoadedCheckpoint newest = load_checkpoint(checkpoints.back());
    check_finite(newest);
    return newest;
  } catch (const UserError& error) {
    const std::string remedy =
        checkpoints.size() > 1
            ? fmt::format("remove that folder to resume from {}", checkpoints[checkpoints.size() - 2].string())
            : fmt::format("it is the run's only one to resume from; {}", start_again(run, from_best));
    throw user_error("{}; {}", error.what(), remedy);
  }
}

}  // namespace virgil
