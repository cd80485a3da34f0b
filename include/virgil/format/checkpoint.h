// Checkpoints: each is a Hugging Face model directory that also resumes a run bit for bit. Format: docs/checkpoints.md.
//
//   model.safetensors       parameters by their Hugging Face names, unpadded
//   config.json             GPT2LMHeadModel's configuration
//   <tokenizer files>       Tokenizer::files()
//   generation_config.json  of transformers
//   README.md               a model card
//   optimizer.safetensors   "<state>.<name>" for every parameter and each state of its optimizer: AdamW's "m" and "v"
//   training_state.json     TrainingState, the resolved run config, and the size and SHA-256 of every file above
//   training_state.sha256   the SHA-256 of training_state.json
//
// A checkpoint is written into "<name>.tmp-<pid>" beside its final name, every file and the directory made durable, then
// renamed. A half-written one is never taken for a whole one; leftovers of killed runs are removed by the next save. Where a
// checkpoint of the same name is replaced, it is "<name>.old" for the moment between two renames; loading looks there too.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/file_system.h"
#include "virgil/data/tokenizer.h"
#include "virgil/format/safetensors.h"
#include "virgil/model/architecture.h"
#include "virgil/model/memory_plan.h"
#include "virgil/optim/loss_scaler.h"

namespace virgil {

/// Where a run stands. Everything random is keyed by the step, so this is all there is to resume.
struct TrainingState {
  std::int64_t step = 0;  // updates done
  std::int64_t tokens_seen = 0;
  std::uint64_t seed = 0;
  double best_val_loss = std::numeric_limits<double>::infinity();
  std::int64_t best_step = -1;
  double last_val_loss = std::numeric_limits<double>::quiet_NaN();
  std::int64_t last_eval_step = -1;  // updates done when last_val_loss was measured
  LossScalerState loss_scaler;       // of float16; its scale is 0 where there is none
  std::string data_fingerprint;      // SHA-256 of the training tokens; resuming on other data is refused
  std::string val_fingerprint;  // likewise of the held-out tokens; "none" without; empty in checkpoints of before it was kept
  std::string config_json;      // the resolved run config, a JSON object; comes back formatted as config_to_json does
  friend bool operator==(const TrainingState&, const TrainingState&) = default;
};

/// What a save needs. Tensor sources read from the engine's memory while the save runs.
struct CheckpointContents {
  Architecture model;
  const Tokenizer* tokenizer = nullptr;
  std::vector<TensorSource> parameters;  // float32, every ParameterSpec by its name and stored_shape
  std::vector<TensorSource> optimizer;   // as state_sources() makes them of every state; empty: weights only
  TrainingState state;
};

/// Saves as `directory` (replacing one of that name only after the new one is durable). Throws UserError on I/O errors, after
/// which the previous checkpoint still stands and the partial one has been removed as far as the disk allows; InternalError
/// when `contents` does not match the ParameterLayout of its model.
void save_checkpoint(FileSystem& files, const std::filesystem::path& directory, const CheckpointContents& contents);

/// An opened checkpoint: hashes verified, files mapped, every tensor of the model's ParameterLayout present in its stored_shape
/// as float32. A model without biases has zero biases in its file besides, for other programs (docs/checkpoints.md).
struct LoadedCheckpoint {
  std::filesystem::path directory;  // where it was found: the one asked for, or that with ".old" appended
  Architecture model;
  TrainingState state;
  SafetensorsFile parameters;
  std::unique_ptr<SafetensorsFile> optimizer;  // null when the checkpoint has none or it was not asked for
};

/// What a reader needs of a checkpoint: those that only use the weights neither open nor hash the optimizer's file.
enum class CheckpointParts { kAll, kWeights };

/// Bytes of a checkpoint's files, up to a few kilobytes.
[[nodiscard]] std::int64_t checkpoint_bytes(const MemoryPlan& plan, const Tokenizer& tokenizer);

/// How a checkpoint keeps those states that may be kept in several ways; float32 where it has none of the other types.
[[nodiscard]] StorageType state_storage_of(const SafetensorsFile& optimizer);

/// The optimizer whose states of a parameter a file holds, where holds("m.<parameter>") tells of each whether it does; the
/// first there is where it holds none.
[[nodiscard]] OptimizerKind optimizer_of(std::string_view parameter, const std::function<bool(const std::string&)>& holds);

/// Opens a checkpoint that save_checkpoint wrote, also while a running training replaces it: everything is of one checkpoint.
/// Throws UserError naming the file and the defect: missing, truncated, hash mismatch, malformed JSON, a missing tensor or one
/// of another shape.
[[nodiscard]] LoadedCheckpoint load_checkpoint(const std::filesystem::path& directory,
                                               CheckpointParts parts = CheckpointParts::kAll);

// Names in a checkpoint's folder, of the folder itself, and beside it in a run's.
inline constexpr const char* kStateFile = "training_state.json";
inline constexpr const char* kOldSuffix = ".old";
inline constexpr const char* kBestCheckpoint = "best";
inline constexpr const char* kMetricsFile = "metrics.jsonl";
inline constexpr const char* kRunSessionsFile = "run.json";
inline constexpr const char* kRunConfigFile = "run_config.json";
inline constexpr const char* kRunConfigHashFile = "run_config.sha256";

/// `directory` with `suffix` appended to its name.
[[nodiscard]] std::filesystem::path with_suffix(const std::filesystem::path& directory, std::string_view suffix);

/// Names inside a run's folder: "step-00000500" ordered by step, "best".
[[nodiscard]] std::string step_checkpoint_name(std::int64_t step);
/// Step checkpoints of a run, oldest first; leftovers (".tmp-") are not among them. Empty when there is no such folder.
[[nodiscard]] std::vector<std::filesystem::path> list_step_checkpoints(const std::filesystem::path& run_directory);
/// Removes step checkpoints beyond the newest `keep_last`, and leftovers of killed saves. keep_last 0 keeps all.
void prune_checkpoints(FileSystem& files, const std::filesystem::path& run_directory, std::int64_t keep_last);

}  // namespace virgil
