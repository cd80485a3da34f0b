#include "bench/scaling_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "virgil/base/error.h"
#include "virgil/plan/catalogue.h"
#include "virgil/plan/planning_traits.h"
#include "virgil/report/model_report.h"
#include "virgil/report/presets.h"
#include "virgil/train/console_metrics.h"
#include "virgil/train/plan_config.h"

namespace virgil::bench {

namespace {

constexpr const char* kDefaultGpu = "H100";
constexpr double kDefaultMfuPercent = 40;
constexpr std::int64_t kMaxCards = 8;
constexpr double kGoodEfficiency = 0.95;

const std::vector<std::int64_t>& gpu_counts() {
  static const std::vector<std::int64_t> counts = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};
  return counts;
}

const GpuModel& gpu_named(const std::string& name) {
  if (const GpuModel* gpu = find_gpu(name)) return *gpu;
  std::vector<std::string> names;
  for (const GpuModel& gpu : known_gpus()) names.push_back(gpu.name);
  const std::string nearest = nearest_name(name, names);
  throw user_error("--gpu \"{}\" is not in data/gpus.json; {}known: {}", name,
                   nearest.empty() ? "" : fmt::format("did you mean {}? ", nearest), fmt::join(names, ", "));
}

double mfu_percent(const ToolArguments& arguments) {
  const double percent = arguments.positive_number("mfu").value_or(kDefaultMfuPercent);
  if (percent > 100) throw user_error("--mfu is {}, a percentage of the GPU's peak; give one of at most 100", percent);
  return percent;
}

std::int64_t cards_per_machine(const ToolArguments& arguments) {
  const std::int64_t cards = arguments.positive_integer("cards").value_or(1);
  if (cards > kMaxCards) throw user_error("--cards is {}; a machine of 8 GPUs has at most {}", cards, kMaxCards);
  return cards;
}

ScalingTable predict_table(const ToolArguments& arguments, const std::string& name, TrainingShape shape) {
  ScalingTable table{.name = name, .shape = std::move(shape), .clusters = usual_clusters(cards_per_machine(arguments))};
  if (const auto step_ms = arguments.positive_number("step_ms")) {
    table.micro_step_s = *step_ms / 1000 / static_cast<double>(table.shape.grad_accum_steps);
    table.micro_step_source = fmt::format("a step of {} ms, as given", *step_ms);
  } else {
    const GpuModel& gpu = gpu_named(arguments.value("gpu").value_or(kDefaultGpu));
    const bool in_half = table.shape.dtype != DType::kFloat32 && gpu.bfloat16_tflops > 0;
    const double tflops = in_half ? gpu.bfloat16_tflops : gpu.float32_tflops;
    const double percent = mfu_percent(arguments);
    table.micro_step_s = predicted_micro_step_s(table.shape, tflops, percent / 100);
    table.micro_step_source = fmt::format("{} % of the {} TFLOP/s of an {} in {}: assumed, not measured", percent, tflops,
                                          gpu.name, in_half ? "16 bits" : "float32");
  }
  for (const Cluster& cluster : table.clusters) {
    table.points.push_back(predict_scaling(table.shape, table.micro_step_s, cluster, gpu_counts()));
  }
  return table;
}

/// What a preset is planned with on a GPU: its configuration without a device to ask.
TrainingShape shape_of(const Subject& subject) {
  if (!subject.trainable) throw UserError(subject.why_not);
  TrainConfig config = subject.resolved;
  if (config.dtype == "auto") config.dtype = name_of(DType::kBFloat16);
  if (config.batch_size == 0) throw user_error("batch_size is auto: --scaling asks no device what fits; give a number");
  return training_shape(config, *subject.trainable, data_parallel(config, 1, CommunicatorKind::kSingle));
}

std::string tokens_text(double tokens_per_s) {
  return tokens_per_s >= 1e6 ? fmt::format("{:.2f}M", tokens_per_s / 1e6) : fmt::format("{:.0f}K", tokens_per_s / 1e3);
}

/// Up to how many GPUs reductions hide, and up to how many the efficiency is good.
std::string describe_limits(const std::vector<ScalingPoint>& points) {
  const auto first = [&](auto fails) { return std::ranges::find_if(points, fails); };
  const auto late = first([](const ScalingPoint& point) { return !point.hides(); });
  const auto poor = first([](const ScalingPoint& point) { return point.efficiency < kGoodEfficiency; });
  std::string text =
      late == points.end()
          ? fmt::format("hides up to {} GPUs", format_count(points.back().gpus))
          : fmt::format("stops hiding at {} GPUs ({:.1f} ms of a step's {:.1f} ms of computation)", format_count(late->gpus),
                        1e3 * (late->timeline.late_s + late->timeline.stalled_s), 1e3 * late->timeline.compute_s);
  if (poor == points.end()) return text + fmt::format("; {:.0f} % or more throughout", 100 * kGoodEfficiency);
  return text + fmt::format("; below {:.0f} % from {}", 100 * kGoodEfficiency, format_count(poor->gpus));
}

std::string describe_cluster(const Cluster& cluster) {
  return fmt::format("{}: {:.3g} and {:.3g} GB/s, {:.3g} and {:.3g} us a step", cluster.name(),
                     cluster.inside.bytes_per_s / 1e9, cluster.between.bytes_per_s / 1e9, cluster.inside.latency_s * 1e6,
                     cluster.between.latency_s * 1e6);
}

std::string describe_table(const ScalingTable& table) {
  const TrainingShape& shape = table.shape;
  const std::int64_t flat = ParameterLayout(ModelConfig(shape.model)).flat_elements();
  std::string text = fmt::format("{}: batch {} x {} and {} micro-step{} on each GPU, recompute {}, {}, zero_stage {}\n",
                                 table.name, shape.batch_size, format_count(shape.model.block_size), shape.grad_accum_steps,
                                 shape.grad_accum_steps == 1 ? "" : "s", name_of(shape.recompute), name_of(shape.dtype),
                                 shape.parallel.zero_stage);
  text += fmt::format("  one GPU: micro-step of {:.2f} ms ({}); gradients of {} in {}\n", 1e3 * table.micro_step_s,
                      table.micro_step_source, format_bytes(flat * size_of(shape.parallel.wire)), name_of(shape.parallel.wire));
  const auto header = [&](std::string_view left, std::string_view right, auto cell) {
    text += fmt::format("  {:>6}{:>15}", left, right);
    for (const Cluster& cluster : table.clusters) text += fmt::format("{:>16}", cell(cluster));
    text += "\n";
  };
  header("", "tokens", [](const Cluster& cluster) { return cluster.inside.name; });
  header("GPUs", "a step", [](const Cluster& cluster) { return cluster.between.name; });
  for (std::size_t i = 0; i < gpu_counts().size(); ++i) {
    const ScalingPoint& first = table.points.front()[i];
    text += fmt::format("  {:>6}{:>15}", format_count(first.gpus), format_count(first.tokens_per_step));
    for (const auto& points : table.points) {
      text += fmt::format("{:>9}{:>5.0f} %", tokens_text(points[i].tokens_per_s), 100 * points[i].efficiency);
    }
    text += "\n";
  }
  for (std::size_t c = 0; c < table.clusters.size(); ++c) {
    text += fmt::format("  {:<22}{}\n", table.clusters[c].name() + ":", describe_limits(table.points[c]));
  }
  return text;
}

nlohmann::ordered_json point_json(const ScalingPoint& point) {
  const StepTimeline& timeline = point.timeline;
  return {{"gpus", point.gpus},
          {"tokens_per_step", point.tokens_per_step},
          {"tokens_per_s", point.tokens_per_s},
          {"efficiency", point.efficiency},
          {"hides", point.hides()},
          {"step_ms", 1e3 * timeline.step_s},
          {"compute_ms", 1e3 * timeline.compute_s},
          {"exposed_ms", 1e3 * timeline.exposed_s},
          {"stalled_ms", 1e3 * timeline.stalled_s},
          {"late_ms", 1e3 * timeline.late_s},
          {"gather_ms", 1e3 * timeline.gather_s}};
}

}  // namespace

std::vector<ScalingTable> predict_tables(const ToolArguments& arguments, const CommandLine& command_line) {
  std::vector<ScalingTable> tables;
  if (!command_line.config_file.empty()) {
    const Subject subject = make_subject({}, command_line, {});
    tables.push_back(
        predict_table(arguments, std::filesystem::path(command_line.config_file).stem().string(), shape_of(subject)));
    return tables;
  }
  if (arguments.has("step_ms")) throw user_error("--step_ms is the step of one model; name it with --config");
  for (const Preset& preset : load_presets(default_presets_folder(), PlanningTraits())) {
    CommandLine line = command_line;  // its keys over the preset's
    line.config = preset.subject.command_line.config;
    for (const std::string& name : command_line.set_keys) {
      const ConfigKey& key = *find_config_key(name);
      std::visit([&](auto member) { line.config.*member = command_line.config.*member; }, key.member);
    }
    tables.push_back(predict_table(arguments, preset.name, shape_of(make_subject({}, line, {}))));
  }
  return tables;
}

std::string text_report(const std::vector<ScalingTable>& tables) {
  std::string text =
      "Scaling on paper: tokens per second and efficiency (of as many single GPUs), each GPU's batch as on one.\n"
      "Nothing of it is measured; docs/distributed.md says what it assumes.\n";
  const Cluster& any = tables.front().clusters.front();
  text += fmt::format("Machines of {} GPUs, {} network card{} each; rates of a collective inside and of a card, latencies:\n",
                      any.gpus_per_machine, any.cards_per_machine, any.cards_per_machine == 1 ? "" : "s");
  for (const Cluster& cluster : tables.front().clusters) text += "  " + describe_cluster(cluster) + "\n";
  for (const ScalingTable& table : tables) text += "\n" + describe_table(table);
  return text;
}

std::string json_report(const std::vector<ScalingTable>& tables) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const ScalingTable& table : tables) {
    nlohmann::ordered_json clusters = nlohmann::ordered_json::array();
    for (std::size_t c = 0; c < table.clusters.size(); ++c) {
      const Cluster& cluster = table.clusters[c];
      nlohmann::ordered_json points = nlohmann::ordered_json::array();
      for (const ScalingPoint& point : table.points[c]) points.push_back(point_json(point));
      clusters.push_back({{"name", cluster.name()},
                          {"gpus_per_machine", cluster.gpus_per_machine},
                          {"cards_per_machine", cluster.cards_per_machine},
                          {"inside_bytes_per_s", cluster.inside.bytes_per_s},
                          {"inside_latency_us", cluster.inside.latency_s * 1e6},
                          {"card_bytes_per_s", cluster.between.bytes_per_s},
                          {"card_latency_us", cluster.between.latency_s * 1e6},
                          {"points", points}});
    }
    list.push_back({{"model", table.name},
                    {"batch_size", table.shape.batch_size},
                    {"grad_accum_steps", table.shape.grad_accum_steps},
                    {"zero_stage", table.shape.parallel.zero_stage},
                    {"dtype", name_of(table.shape.dtype)},
                    {"grad_reduce_dtype", name_of(table.shape.parallel.wire)},
                    {"micro_step_ms", 1e3 * table.micro_step_s},
                    {"micro_step_source", table.micro_step_source},
                    {"clusters", clusters}});
  }
  return list.dump(2) + "\n";
}

}  // namespace virgil::bench
