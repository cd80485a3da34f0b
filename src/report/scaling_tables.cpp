// The flags of bench --scaling, and the tables they ask for.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/plan/catalogue.h"
#include "virgil/plan/plan_config.h"
#include "virgil/report/fit_report.h"
#include "virgil/report/model_report.h"
#include "virgil/report/presets.h"
#include "virgil/report/scaling_report.h"

namespace virgil {

namespace {

constexpr const char* kDefaultGpu = "H100";
constexpr double kDefaultMfuPercent = 40;
constexpr std::int64_t kMaxCards = 8;
constexpr std::array<std::int64_t, 11> kGpuCounts = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};
// A microsecond and a day: no model's step is shorter or longer.
constexpr double kMinStepMs = 1e-3;
constexpr double kMaxStepMs = 86'400'000;

/// What tells the time of a micro-step on one GPU.
struct OneGpu {
  std::optional<double> step_ms = {};  // a step as it was measured; nothing: the two below predict it
  GpuModel gpu = {};
  double mfu_percent = 0;
};

double read_step_ms(const ToolArguments& arguments) {
  const double step_ms = *arguments.positive_number("step_ms");
  if (step_ms < kMinStepMs || step_ms > kMaxStepMs) {
    throw user_error("--step_ms is {}; give the milliseconds of a step, between {} and {}", step_ms, kMinStepMs, kMaxStepMs);
  }
  for (const char* other : {"gpu", "mfu"}) {
    if (!arguments.has(other)) continue;
    throw user_error("--step_ms is {}, the step that --{} {} would predict; give one of the two", step_ms, other,
                     *arguments.value(other));
  }
  return step_ms;
}

double read_mfu_percent(const ToolArguments& arguments) {
  const double percent = arguments.positive_number("mfu").value_or(kDefaultMfuPercent);
  if (percent > 100) throw user_error("--mfu is {}, a percentage of the GPU's peak; give one of at most 100", percent);
  // Nobody trains at less than 1 %: a share is meant.
  if (percent < 1) {
    throw user_error("--mfu is {}, a percentage of the GPU's peak; give one of at least 1, such as {:.3g} for {}", percent,
                     100 * percent, percent);
  }
  return percent;
}

OneGpu read_one_gpu(const ToolArguments& arguments) {
  if (arguments.has("step_ms")) return {.step_ms = read_step_ms(arguments)};
  return {.gpu = gpu_of_flag(arguments.value("gpu").value_or(kDefaultGpu), "or give a step as bench measures it: --step_ms"),
          .mfu_percent = read_mfu_percent(arguments)};
}

std::int64_t read_cards(const ToolArguments& arguments) {
  const std::int64_t cards = arguments.positive_integer("cards").value_or(1);
  if (cards > kMaxCards) throw user_error("--cards is {}; give 1 to {} for a machine of 8 GPUs", cards, kMaxCards);
  return cards;
}

void set_micro_step(ScalingTable& table, const OneGpu& one) {
  table.step_is_given = one.step_ms.has_value();
  if (table.step_is_given) {
    table.micro_step_s = *one.step_ms / 1000 / static_cast<double>(table.shape.grad_accum_steps);
    table.micro_step_source = fmt::format("a step of {} ms, as given", *one.step_ms);
    return;
  }
  const double tflops = peak_tflops(one.gpu, table.shape.dtype);
  table.micro_step_s = predicted_micro_step_s(table.shape, tflops, one.mfu_percent / 100);
  table.micro_step_source = fmt::format("{} % of the {} TFLOP/s of an {} in {}: assumed, not measured", one.mfu_percent, tflops,
                                        one.gpu.name, name_of(table.shape.dtype));
}

/// What a subject trains on each of several GPUs: its configuration without a device to ask.
TrainingShape scaling_shape(const Subject& subject, const OneGpu& one) {
  if (!subject.trainable) throw UserError(subject.why_not);
  TrainConfig config = subject.resolved;
  resolve_dtype(config, one.step_ms ? any_machine() : machine_of(one.gpu));
  if (config.batch_size == 0) throw user_error("batch_size is auto: --scaling asks no device what fits; give a number");
  check_sums(config, kGpuCounts.back());
  return training_shape(config, *subject.trainable, data_parallel(config, 1, CommunicatorKind::kSingle));
}

ScalingTable predict_table(std::string name, TrainingShape shape, const OneGpu& one, std::vector<Cluster> clusters) {
  ScalingTable table{.name = std::move(name), .shape = std::move(shape), .clusters = std::move(clusters)};
  set_micro_step(table, one);
  for (const Cluster& cluster : table.clusters) {
    table.points.push_back(predict_scaling(table.shape, table.micro_step_s, cluster, kGpuCounts));
  }
  return table;
}

/// Whether flags alone say which model it is, rather than how a preset is trained.
bool describes_a_model(const CommandLine& line) {
  return std::ranges::any_of(line.set_keys, [](const std::string& key) {
    return key == "n_layer" || key == "n_head" || key == "n_embd" || key == "d_ff" || key == "init_from";
  });
}

}  // namespace

std::span<const ToolFlag> scaling_flags() {
  using enum ToolFlag::Takes;
  static const std::vector<ToolFlag> flags = {
      {"scaling", kNothing, "", "Predict, without a GPU, what 1 to 1,024 GPUs reach with every preset, or --config"},
      {"gpu", kValue, "NAME", "With --scaling: a GPU of data/gpus.json (default: H100)"},
      {"mfu", kValue, "PERCENT", "With --scaling: the share of its peak that one GPU reaches (default: 40)"},
      {"step_ms", kValue, "MS", "With --scaling: a step on one GPU, as bench measures it, instead of these two"},
      {"cards", kValue, "N", "With --scaling: network cards of a machine of 8 GPUs (default: 1)"},
  };
  return flags;
}

std::vector<ScalingTable> predict_tables(const ToolArguments& arguments, const CommandLine& command_line,
                                         const std::filesystem::path& presets_folder) {
  const OneGpu one = read_one_gpu(arguments);
  const std::vector<Cluster> clusters = usual_clusters(read_cards(arguments));
  const bool has_file = !command_line.config_file.empty();
  if (has_file || describes_a_model(command_line)) {
    const Subject subject = make_subject({}, command_line, {});
    std::string name = has_file ? std::filesystem::path(command_line.config_file).stem().string() : subject.spec.name;
    return {predict_table(std::move(name), scaling_shape(subject, one), one, clusters)};
  }
  if (one.step_ms) {
    throw user_error("--step_ms is {}, the step of one model; name it: --config configs/150M_1024.json", *one.step_ms);
  }
  std::vector<ScalingTable> tables;
  for (const Preset& preset : load_presets(presets_folder, any_machine())) {
    const CommandLine line = with_keys_of(preset.subject.command_line, command_line);
    try {
      tables.push_back(predict_table(preset.name, scaling_shape(make_subject({}, line, {}), one), one, clusters));
    } catch (const UserError& error) {
      throw user_error("{}: {}", preset.name, error.what());
    }
  }
  return tables;
}

}  // namespace virgil
