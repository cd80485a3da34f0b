#include "virgil/generate/inference_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/format/finite_check.h"
#include "virgil/format/pretrained_model.h"
#include "virgil/machine/measured_dtype.h"
#include "virgil/plan/run_plan.h"

namespace virgil {

namespace {

namespace fs = std::filesystem;

/// What the plan takes, which is what is allocated.
std::string describe_plan(const MemoryPlan& plan, const Backend& backend) {
  std::string parts;
  for (const MemoryCategory category : kAllMemoryCategories) {
    if (plan.by_category()[category] == 0) continue;
    parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", name_of(category), format_bytes(plan.by_category()[category]));
  }
  return fmt::format("memory   {} planned in {} ({}); {}", format_bytes(plan.total_bytes()), name_of(plan.dtype()), parts,
                     backend.description());
}

std::string remedy_for_memory(const InferenceOptions& options, DType dtype) {
  const std::string smaller = options.num_sequences > 1 ? "generate fewer samples at once"
                              : options.batch_size > 1  ? "choose a smaller batch_size"
                                                        : "close other programs or use a machine with more memory";
  return dtype == DType::kFloat32 ? smaller + ", or --dtype bfloat16" : smaller;
}

}  // namespace

DType choose_inference_dtype(const std::string& asked, Backend& backend, Logger& log) {
  TrainConfig config;
  config.dtype = asked;
  Machine machine = machine_of(backend);
  if (asked == "auto") prefer_faster_dtype(machine, backend);
  resolve_dtype(config, machine);  // as training does
  const auto dtypes = backend.dtypes();
  const auto chosen = std::ranges::find_if(dtypes, [&](DType dtype) { return name_of(dtype) == config.dtype; });
  if (chosen > std::ranges::find(dtypes, DType::kFloat32)) {
    log.warn(
        fmt::format("the device has no instructions for {} products: they are computed in float32, which is slower than "
                    "--dtype float32, and saves memory",
                    config.dtype));
  }
  return *chosen;
}

InferenceModel::InferenceModel(const fs::path& checkpoint, const InferenceOptions& options, Logger& log) {
  const PretrainedModel pretrained = open_pretrained(find_checkpoint(checkpoint, log));
  directory_ = pretrained.directory;
  if (!pretrained.note.empty()) log.info(fmt::format("{}: read with {}", directory_.string(), pretrained.note));
  step_ = pretrained.step;
  const Architecture model = trainable(pretrained.model);
  tokenizer_ = load_tokenizer(pretrained);
  backend_ = make_backend(options.device, log);

  const DType dtype = choose_inference_dtype(options.dtype, *backend_, log);
  check_representable(pretrained.tensors, dtype, directory_.string());
  plan_.emplace(plan_inference(model, {options.num_sequences, options.batch_size, dtype}, backend_->traits()));
  log.info(describe_plan(*plan_, *backend_));
  check_plan_fits(*plan_, backend_->available_bytes(), name_of_free_memory(*backend_), remedy_for_memory(options, dtype));
  memory_.emplace(*plan_, backend_->memory());
  const ParameterLayout& layout = plan_->parameters();
  load_parameters(*backend_, layout, pretrained, memory_->flat(*plan_, PlanSlot::kWeights, 0));
}

}  // namespace virgil
