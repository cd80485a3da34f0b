#include "virgil/train/inference_model.h"

#include <fmt/format.h>

#include "checkpoint_format.h"
#include "train/gpt2_tensors.h"
#include "virgil/base/error.h"
#include "virgil/base/paths.h"
#include "virgil/train/pretrained_model.h"
#include "virgil/train/run_folder.h"
#include "virgil/train/training_run.h"

namespace virgil {

namespace {

namespace fs = std::filesystem;

bool holds_checkpoint(const fs::path& directory) {
  const auto holds = [&](const char* name) { return path_exists(directory / name); };
  return holds(kStateFile) || holds(kParametersFile) || holds(kShardIndexFile) || holds(kConfigFile);
}

}  // namespace

fs::path find_checkpoint(const fs::path& path, Logger& log) {
  if (!is_folder(path) || holds_checkpoint(path)) return path;  // open_pretrained says what is wrong with it
  const fs::path best = path / "best";
  const bool has_best = path_exists(best) || path_exists(with_suffix(best, kOldSuffix));
  const auto steps = list_step_checkpoints(path);
  if (!has_best && steps.empty()) {
    throw user_error(
        "{}: neither a checkpoint nor a run's folder; give a folder that holds {}, or one that holds best or step-*",
        path.string(), kParametersFile);
  }
  fs::path found = has_best ? best : steps.back();
  log.info(fmt::format("{}: a run; taking its {} checkpoint, {}", path.string(), has_best ? "best" : "newest",
                       found.filename().string()));
  return found;
}

InferenceModel::InferenceModel(const fs::path& checkpoint, const InferenceOptions& options, Logger& log) {
  const PretrainedModel pretrained = open_pretrained(find_checkpoint(checkpoint, log));
  directory_ = pretrained.directory;
  if (!pretrained.note.empty()) log.info(fmt::format("{}: read with {}", directory_.string(), pretrained.note));
  step_ = pretrained.step;
  const ModelConfig model(pretrained.model);
  tokenizer_ = load_tokenizer(pretrained);
  backend_ = make_backend(options.device, log);

  PlanRequest request;
  if (options.num_sequences > 0) request.decode = {options.num_sequences, model.block_size(), DType::kFloat32};
  if (options.batch_size > 0) {
    request.step = StepShape{.batch_size = options.batch_size, .length = model.block_size(), .training = false};
  }
  plan_.emplace(model, request, backend_->traits());
  check_plan_fits(*plan_, backend_->available_bytes(), name_of_free_memory(*backend_),
                  options.num_sequences > 1 ? "generate fewer samples at once"
                  : options.batch_size > 1  ? "choose a smaller batch_size"
                                            : "close other programs or use a machine with more memory");
  memory_.emplace(*plan_, backend_->memory());
  const ParameterLayout& layout = plan_->parameters();
  load_parameters(*backend_, layout, pretrained, memory_->flat(*plan_, PlanSlot::kWeights, 0));
}

}  // namespace virgil
