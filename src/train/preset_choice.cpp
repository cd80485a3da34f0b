#include "virgil/train/preset_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "train/processes.h"
#include "train/run_data.h"
#include "train/run_summary.h"
#include "virgil/backend/cuda_backend.h"
#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/config/default_preset.h"
#include "virgil/config/preset_files.h"
#include "virgil/data/input_files.h"
#include "virgil/dist/agreement.h"
#include "virgil/machine/device.h"
#include "virgil/machine/measured_dtype.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/plan/plan_config.h"

namespace virgil {

namespace {

constexpr double kMostGpuSeconds = 24 * 3600;
constexpr double kMostCpuSeconds = 6 * 3600;

/// What one preset would take.
struct Candidate {
  std::string preset;
  std::int64_t parameters = 0;
  std::int64_t least_text_bytes = 0;
  std::int64_t plan_bytes = 0;
  std::int64_t aim_bytes = 0;  // that it may take
  double seconds = 0;          // of its steps
};

/// Of the inputs, roughly.
double bytes_per_token(const TrainConfig& config) {
  if (gives_token_files(config)) return 2;
  return config.tokenizer == "char" || config.tokenizer == "byte" ? 1 : 4;
}

/// The vocabulary of a tokenizer file is as good as GPT-2's here.
std::int64_t likely_vocab_size(TrainConfig config) {
  try {
    return expected_vocab_size(config);
  } catch (const UserError&) {
    config.tokenizer = "gpt2";
    return expected_vocab_size(config);
  }
}

Candidate plan_candidate(const CommandLine& command_line, const std::string& preset, const PresetSetting& setting) {
  TrainConfig config = with_preset(command_line, preset).config;
  resolve_config(config, setting.machine.processes);
  const Architecture model = make_model_config(config, likely_vocab_size(config));
  if (model.family != &kGpt2Family) throw UserError("a model that no other program opens is for those who ask for it");
  const MemoryBudget budget = memory_budget(config, setting.machine);
  const RunPlan plan = plan_run(config, model, setting.machine, budget);
  Candidate candidate{.preset = preset, .parameters = plan.memory.parameters().num_parameters()};
  const double trained_share = config.val_input.empty() ? 1 - config.val_fraction : 1;
  const double token_bytes = bytes_per_token(config) / trained_share;
  candidate.least_text_bytes = std::llround(std::ceil(token_bytes * static_cast<double>(candidate.parameters)));
  candidate.plan_bytes = plan.memory.total_bytes();
  candidate.aim_bytes = budget.aim_bytes;
  const double pass_steps =
      static_cast<double>(setting.text_bytes) / token_bytes / static_cast<double>(plan.config.total_batch_size);
  const double steps = config.epochs > 0 ? config.epochs * pass_steps : static_cast<double>(config.max_iters);
  candidate.seconds = steps * estimate_seconds(plan.config, model, setting.product_gflops, 1);
  return candidate;
}

/// By parameters. A preset that the command's flags, or this machine, do not go with is none.
std::vector<Candidate> plan_candidates(const CommandLine& command_line, const PresetSetting& setting) {
  std::vector<Candidate> candidates;
  for (const std::string& preset : preset_names()) {
    try {
      candidates.push_back(plan_candidate(command_line, preset, setting));
    } catch (const UserError&) {
    }
  }
  std::ranges::sort(candidates, {}, &Candidate::parameters);
  return candidates;
}

/// Why not this one; empty where there is no reason.
std::string objection(const Candidate& candidate, const PresetSetting& setting) {
  if (setting.text_bytes < candidate.least_text_bytes) {
    return fmt::format("is for {:.0f} MB of text or more", std::ceil(static_cast<double>(candidate.least_text_bytes) / 1e6));
  }
  if (candidate.seconds > (setting.machine.is_gpu ? kMostGpuSeconds : kMostCpuSeconds)) {
    return fmt::format("would take about {}", duration_in_words(candidate.seconds));
  }
  if (candidate.plan_bytes > candidate.aim_bytes) {
    return fmt::format("needs {} of memory, and {} may be used", format_bytes(candidate.plan_bytes),
                       format_bytes(candidate.aim_bytes));
  }
  return {};
}

/// Bytes of all inputs; 0 where one is not there, which who reads them will tell.
std::int64_t input_bytes(const TrainConfig& config) {
  RecordingLogger quiet;
  std::int64_t total = 0;
  try {
    for (const std::filesystem::path& file : expand_inputs(config.input, quiet)) {
      std::error_code unknown;
      const std::uintmax_t size = std::filesystem::file_size(file, unknown);
      if (!unknown) total += static_cast<std::int64_t>(size);
    }
  } catch (const UserError&) {
    return 0;
  }
  return total;
}

PresetSetting measure_setting(const TrainConfig& config, Backend& backend, const ProcessGroup& group) {
  PresetSetting setting{.machine = machine_of(backend, group.size(), group.local_size()), .text_bytes = input_bytes(config)};
  if (config.dtype == "auto") prefer_faster_dtype(setting.machine, backend);
  DType dtype = setting.machine.dtypes.front();
  for (const DType known : setting.machine.dtypes) {
    if (config.dtype == name_of(known)) dtype = known;
  }
  setting.product_gflops = measure_product_rate(backend, dtype) * static_cast<double>(group.size());
  return setting;
}

/// What that rank has chosen that has least room.
PresetChoice agreed(const PresetChoice& mine, ProcessGroup& group) {
  if (group.size() == 1) return mine;
  const std::vector<std::string> presets = group.all_gather_texts(mine.preset);
  const std::vector<std::string> reasons = group.all_gather_texts(mine.reason);
  std::vector<std::int64_t> parameters(presets.size());
  group.all_gather(std::as_writable_bytes(std::span(parameters)), std::as_bytes(std::span(&mine.parameters, 1)));
  const auto least = static_cast<std::size_t>(std::ranges::min_element(parameters) - parameters.begin());
  return {.preset = presets[least], .parameters = parameters[least], .reason = reasons[least]};
}

}  // namespace

PresetChoice choose_preset(const CommandLine& command_line, const PresetSetting& setting) {
  const std::vector<Candidate> candidates = plan_candidates(command_line, setting);
  if (candidates.empty()) return {};
  std::size_t chosen = 0;
  for (std::size_t i = 1; i < candidates.size(); ++i) {
    if (objection(candidates[i], setting).empty()) chosen = i;
  }
  const Candidate& candidate = candidates[chosen];
  PresetChoice choice{
      .preset = candidate.preset,
      .parameters = candidate.parameters,
      .reason = fmt::format("{} and about {} here", format_bytes(candidate.plan_bytes), duration_in_words(candidate.seconds))};
  if (chosen + 1 < candidates.size()) {
    const Candidate& next = candidates[chosen + 1];
    choice.reason += fmt::format("; the next larger one, {}, {}", next.preset, objection(next, setting));
  }
  return choice;
}

CommandLine with_chosen_preset(const CommandLine& command_line, ProcessGroup& group, Logger& log) {
  if (!leaves_model_open(command_line) || preset_names().empty()) return command_line;
  DeviceRequest request = device_request(command_line.config);
  const CpuShare share = cpu_share(group);
  if (request.threads == 0) request.threads = share.threads;
  request.gpu = device_of_process(group, cuda_device_count());
  request.product_tuning = ProductTuning::kOff;
  PresetChoice choice;
  in_agreement(group, [&] {
    RecordingLogger quiet;  // the run tells of its device
    const std::unique_ptr<Backend> backend = make_backend(request, quiet);
    choice = choose_preset(command_line, measure_setting(command_line.config, *backend, group));
  });
  choice = agreed(choice, group);
  if (choice.preset.empty()) return command_line;
  const std::filesystem::path file = presets_folder() / (choice.preset + ".json");
  log.info(
      fmt::format("config   no config and no sizes are given: the preset {} ({}), {}; --config NAME takes another, and "
                  "show_configs lists them",
                  choice.preset, file.string(), choice.reason));
  return with_preset(command_line, choice.preset);
}

}  // namespace virgil
