#include "virgil/report/scaling_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "virgil/base/format.h"

namespace virgil {

namespace {

constexpr double kGoodEfficiency = 0.95;
constexpr std::array<std::int64_t, 3> kSummaryCounts = {8, 64, 1024};  // a machine, a few, many
constexpr std::size_t kSummaryCellWidth = 20;

std::string tokens_text(double tokens_per_s) {
  if (tokens_per_s >= 1e9) return fmt::format("{:.2f}G", tokens_per_s / 1e9);
  if (tokens_per_s >= 1e6) return fmt::format("{:.2f}M", tokens_per_s / 1e6);
  if (tokens_per_s >= 1e5) return fmt::format("{:.0f}K", tokens_per_s / 1e3);
  return tokens_per_s >= 1e3 ? fmt::format("{:.1f}K", tokens_per_s / 1e3) : fmt::format("{:.0f}", tokens_per_s);
}

/// The first point whose reductions do not hide.
auto first_late(const std::vector<ScalingPoint>& points) {
  return std::ranges::find_if(points, [](const ScalingPoint& point) { return !point.hides(); });
}

/// Up to how many GPUs reductions hide, and up to how many the efficiency is good.
std::string describe_limits(const std::vector<ScalingPoint>& points) {
  const auto late = first_late(points);
  const auto poor = std::ranges::find_if(points, [](const ScalingPoint& point) { return point.efficiency < kGoodEfficiency; });
  std::string text =
      late == points.end()
          ? fmt::format("hides up to {} GPUs", format_count(points.back().gpus))
          : fmt::format("stops hiding at {} GPUs ({:.1f} ms of a step's {:.1f} ms of computation)", format_count(late->gpus),
                        1e3 * (late->timeline.late_s + late->timeline.stalled_s), 1e3 * late->timeline.compute_s);
  if (poor == points.end()) return text + fmt::format("; {:.0f} % or more throughout", 100 * kGoodEfficiency);
  return text + fmt::format("; below {:.0f} % from {}", 100 * kGoodEfficiency, format_count(poor->gpus));
}

/// Of a model's gradients as they travel.
std::int64_t gradient_size_bytes(const TrainingShape& shape) {
  return checked_multiply(ParameterLayout(trainable(shape.model)).flat_elements(), size_of(shape.parallel.wire));
}

std::string describe_cluster(const Cluster& cluster) {
  return fmt::format("  {}: {:.3g} and {:.3g} GB/s, {:.3g} and {:.3g} us a step\n", cluster.name(),
                     cluster.inside.bytes_per_s / 1e9, cluster.between.bytes_per_s / 1e9, cluster.inside.latency_s * 1e6,
                     cluster.between.latency_s * 1e6);
}

/// Two lines above a column a cluster: its link inside a machine, and its network.
std::string describe_columns(const std::vector<Cluster>& clusters, const std::array<std::string, 2>& left, std::size_t width) {
  std::string text = left[0];
  for (const Cluster& cluster : clusters) text += fmt::format("{:>{}}", cluster.inside.name, width);
  text += "\n" + left[1];
  for (const Cluster& cluster : clusters) text += fmt::format("{:>{}}", cluster.between.name, width);
  return text + "\n";
}

std::string describe_table(const ScalingTable& table) {
  const TrainingShape& shape = table.shape;
  std::string text = fmt::format("{}: batch {} x {} and {} micro-step{} on each GPU, recompute {}, {}, zero_stage {}\n",
                                 table.name, shape.batch_size, format_count(shape.model.block_size), shape.grad_accum_steps,
                                 shape.grad_accum_steps == 1 ? "" : "s", name_of(shape.recompute), name_of(shape.dtype),
                                 shape.parallel.zero_stage);
  text += fmt::format("  one GPU: micro-step of {:.2f} ms ({}); gradients of {} in {}\n", 1e3 * table.micro_step_s,
                      table.micro_step_source, format_bytes(gradient_size_bytes(shape)), name_of(shape.parallel.wire));
  text += describe_columns(table.clusters,
                           {fmt::format("  {:>6}{:>15}", "", "tokens"), fmt::format("  {:>6}{:>15}", "GPUs", "a step")}, 16);
  for (std::size_t i = 0; i < table.points.front().size(); ++i) {
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

nlohmann::ordered_json scaling_point_json(const ScalingPoint& point) {
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

/// "   95  67  58     8": efficiencies in percent, and from how many GPUs on reductions do not hide.
std::string summary_cell(const std::vector<ScalingPoint>& points) {
  std::string text;
  for (const std::int64_t gpus : kSummaryCounts) {
    text += fmt::format("{:>4.0f}", 100 * std::ranges::find(points, gpus, &ScalingPoint::gpus)->efficiency);
  }
  const auto late = first_late(points);
  text += fmt::format("{:>6}", late == points.end() ? "-" : format_count(late->gpus));
  return fmt::format("{:>{}}", text, kSummaryCellWidth);
}

}  // namespace

std::string describe_scaling(const std::vector<ScalingTable>& tables) {
  std::string text =
      "Scaling on paper: tokens per second and efficiency (of as many single GPUs), each GPU's batch as on one.\n";
  text += tables.front().step_is_given ? "Of it the step of one GPU is given" : "Nothing of it is measured";
  text += "; docs/distributed.md says what it assumes.\n";
  const Cluster& any = tables.front().clusters.front();
  text += fmt::format("Machines of {} GPUs, {} network card{} each; rates of a collective inside and of a card, latencies:\n",
                      any.gpus_per_machine, any.cards_per_machine, any.cards_per_machine == 1 ? "" : "s");
  for (const Cluster& cluster : tables.front().clusters) text += describe_cluster(cluster);
  for (const ScalingTable& table : tables) text.append("\n").append(describe_table(table));
  if (tables.size() > 1) text.append("\n").append(summarize_scaling(tables));
  return text;
}

std::string summarize_scaling(const std::vector<ScalingTable>& tables) {
  const std::vector<Cluster>& clusters = tables.front().clusters;
  std::size_t name_width = 10;
  for (const ScalingTable& table : tables) name_width = std::max(name_width, table.name.size());
  std::string text = fmt::format(
      "Efficiency in % at {}, {} and {} GPUs, and the number of GPUs at which communication stops hiding (-: hides up to {})\n",
      kSummaryCounts[0], kSummaryCounts[1], format_count(kSummaryCounts[2]),
      format_count(tables.front().points.front().back().gpus));
  const std::string left(name_width + 2, ' ');
  text += describe_columns(clusters, {left, left}, kSummaryCellWidth);
  for (const ScalingTable& table : tables) {
    text += fmt::format("  {:<{}}", table.name, name_width);
    for (const auto& points : table.points) text += summary_cell(points);
    text += "\n";
  }
  return text;
}

std::string scaling_json(const std::vector<ScalingTable>& tables) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const ScalingTable& table : tables) {
    nlohmann::ordered_json clusters = nlohmann::ordered_json::array();
    for (std::size_t c = 0; c < table.clusters.size(); ++c) {
      const Cluster& cluster = table.clusters[c];
      nlohmann::ordered_json points = nlohmann::ordered_json::array();
      for (const ScalingPoint& point : table.points[c]) points.push_back(scaling_point_json(point));
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
                    {"block_size", table.shape.model.block_size},
                    {"batch_size", table.shape.batch_size},
                    {"grad_accum_steps", table.shape.grad_accum_steps},
                    {"recompute", name_of(table.shape.recompute)},
                    {"zero_stage", table.shape.parallel.zero_stage},
                    {"dtype", name_of(table.shape.dtype)},
                    {"grad_reduce_dtype", name_of(table.shape.parallel.wire)},
                    {"gradient_size_bytes", gradient_size_bytes(table.shape)},
                    {"micro_step_ms", 1e3 * table.micro_step_s},
                    {"step_is_given", table.step_is_given},
                    {"micro_step_source", table.micro_step_source},
                    {"clusters", clusters}});
  }
  return list.dump(2) + "\n";
}

}  // namespace virgil
