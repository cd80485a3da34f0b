#include "virgil/report/inference_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/format.h"
#include "virgil/model/inference_plan.h"
#include "virgil/plan/parameter_count.h"
#include "virgil/report/fit_report.h"
#include "virgil/report/model_report.h"

namespace virgil {

namespace {

using Json = nlohmann::ordered_json;

std::string describe_shape(const GenerationShape& shape) {
  return fmt::format("{} sequence{} of {} tokens", shape.num_sequences == 1 ? "one" : format_count(shape.num_sequences),
                     shape.num_sequences == 1 ? "" : "s", format_count(shape.context));
}

/// "0.84 ms", "1.20 s".
std::string short_time(double seconds) {
  return seconds < 1 ? fmt::format("{:.3g} ms", 1e3 * seconds) : fmt::format("{:.3g} s", seconds);
}

std::string short_rate(double rate) { return rate < 10 ? fmt::format("{:.2g}", rate) : format_count(std::llround(rate)); }

std::string describe_speed(const Architecture& spec, const GenerationShape& shape, const GpuModel& gpu) {
  std::string text = fmt::format(
      "  At best on {} ({} GB/s): no program is faster, since weights and cache are read for each token\n"
      "  {:<14}{:>22}{:>22}{:>18}\n",
      gpu.name, gpu.bandwidth_gb_per_s, "", "first token after", "then a token takes", "tokens/s");
  for (const WeightType& type : kWeightTypes) {
    const GenerationSpeed speed = bound_generation_speed(spec, type, shape, gpu);
    text += fmt::format("  {:<14}{:>22}{:>22}{:>18}\n", type.label, short_time(speed.prompt_s), short_time(speed.token_s),
                        short_rate(speed.tokens_per_s(shape)));
  }
  return text;
}

Json estimate_json(const InferenceEstimate& estimate) {
  return {{"weights_bytes", estimate.weights},
          {"kv_cache_bytes", estimate.kv_cache},
          {"activation_bytes", estimate.activations},
          {"total_bytes", estimate.total},
          {"rule_of_thumb_bytes", estimate.rule_of_thumb}};
}

GenerationShape within(const GenerationShape& shape, const Architecture& spec) {
  return {shape.num_sequences, shape.context == 0 ? spec.block_size : std::min(shape.context, spec.block_size)};
}

InferenceFit fit_of(const Architecture& spec, const WeightType& type, const GenerationShape& shape,
                    const MemoryBudget& budget) {
  const std::int64_t bytes = estimate_generation(spec, type, shape).total;
  return {spec.name, type, count_parameters(spec).total, bytes, judge(bytes, budget.limit_bytes)};
}

constexpr std::string_view kScalesNote =
    "Scales of quantized weights come on top: one of 16 bits for each 32 to 128 weights adds 3 to 13 % to INT4.\n";

std::string describe_largest(const WeightType& type, const std::vector<InferenceFit>& fits, const MemoryBudget& budget) {
  const auto largest = std::ranges::find_if(fits, [](const InferenceFit& fit) { return fit.verdict == Verdict::kYes; });
  const std::string memory = fmt::format("{} ({})", format_bytes(budget.limit_bytes), budget.source);
  if (largest == fits.end()) return fmt::format("No published model with {} weights fits {}\n", type.name, memory);
  return fmt::format("The largest published model with {} weights that fits {}: {}\n", type.name, memory, largest->name);
}

}  // namespace

GenerationShape generation_shape(const Subject& subject) {
  const CommandLine& line = subject.command_line;
  const bool is_given = std::ranges::find(line.set_keys, "batch_size") != line.set_keys.end();
  return {is_given && line.config.batch_size > 0 ? line.config.batch_size : 1, subject.spec.block_size};
}

std::string describe_inference(const Subject& subject, const PlannedSubject& planned, const GpuModel* gpu) {
  const Architecture& spec = subject.spec;
  const GenerationShape shape = generation_shape(subject);
  std::string text = fmt::format("Inference, {}\n", describe_shape(shape));
  text += fmt::format("  {:<14}{:>12}{:>14}{:>14}{:>14}{:>22}\n", "", "weights", "KV cache", "activations", "total",
                      "N x bytes x 1.2");
  for (const WeightType& type : kWeightTypes) {
    const InferenceEstimate e = estimate_generation(spec, type, shape);
    text +=
        fmt::format("  {:<14}{:>12}{:>14}{:>14}{:>14}{:>22}\n", type.label, format_bytes(e.weights), format_bytes(e.kv_cache),
                    format_bytes(e.activations), format_bytes(e.total), format_bytes(e.rule_of_thumb));
  }
  text += "  activations: of the one token a sequence is at; a prompt read in one pass takes as much for each of its tokens\n";
  if (gpu != nullptr) text += describe_speed(spec, shape, *gpu);
  if (!planned.plan) return text;
  for (const DType dtype : planned.machine->dtypes) {
    const InferenceShape decode{.num_sequences = shape.num_sequences, .dtype = dtype};
    const MemoryPlan plan = plan_inference(planned.plan->model(), decode, planned.traits());
    text += fmt::format("  Virgil's own plan for generating ({}, {}): {}{}\n", name_of(dtype), planned.machine->description,
                        format_bytes(plan.total_bytes()),
                        dtype == DType::kFloat32 ? "" : fmt::format(", with generate --dtype {}", name_of(dtype)));
  }
  return text;
}

Json inference_json(const Subject& subject, const GpuModel* gpu) {
  const GenerationShape shape = generation_shape(subject);
  Json json = {{"context", shape.context}, {"sequences", shape.num_sequences}};
  for (const WeightType& type : kWeightTypes) {
    Json entry = estimate_json(estimate_generation(subject.spec, type, shape));
    if (gpu != nullptr) {
      const GenerationSpeed speed = bound_generation_speed(subject.spec, type, shape, *gpu);
      entry["least_first_token_ms"] = 1e3 * speed.prompt_s;
      entry["least_token_ms"] = 1e3 * speed.token_s;
      entry["most_tokens_per_s"] = speed.tokens_per_s(shape);
    }
    json[type.name == "bfloat16" ? "float16" : std::string(type.name)] = entry;
  }
  return json;
}

std::vector<InferenceFit> fit_inference(const Architecture& spec, const GenerationShape& shape, const MemoryBudget& budget) {
  std::vector<InferenceFit> fits;
  for (const WeightType& type : kWeightTypes) fits.push_back(fit_of(spec, type, within(shape, spec), budget));
  return fits;
}

std::vector<InferenceFit> fit_published_models(const WeightType& type, const GenerationShape& shape,
                                               const MemoryBudget& budget) {
  std::vector<InferenceFit> fits;
  for (const PublishedModel& model : published_models()) {
    fits.push_back(fit_of(model.spec, type, within(shape, model.spec), budget));
  }
  std::ranges::stable_sort(fits, std::ranges::greater(), &InferenceFit::parameters);
  return fits;
}

WeightsAnswer answer_weights(const WeightType& type, const Subject* subject, const GenerationShape& shape,
                             const MemoryBudget& budget, const GpuModel* gpu) {
  if (subject != nullptr) {
    const InferenceFit fit = fit_of(subject->spec, type, within(shape, subject->spec), budget);
    std::string text = fmt::format("Generating with {} weights, {}: {} in {} ({})? {}\n", type.name,
                                   describe_shape(within(shape, subject->spec)), format_bytes(fit.total_bytes),
                                   format_bytes(budget.limit_bytes), budget.source, name_of(fit.verdict));
    if (gpu != nullptr) text += describe_speed(subject->spec, within(shape, subject->spec), *gpu);
    return {text, fit.verdict != Verdict::kNo};
  }
  const std::vector<InferenceFit> fits = fit_published_models(type, shape, budget);
  std::string text = describe_largest(type, fits, budget);
  text += fmt::format("  {} at once, each of the model's context{}; largest first\n",
                      shape.num_sequences == 1 ? "one sequence" : format_count(shape.num_sequences) + " sequences",
                      shape.context == 0 ? "" : fmt::format(" or {} tokens, the shorter", format_count(shape.context)));
  for (const InferenceFit& fit : fits) {
    text += fmt::format("  {:<20}{:>9}{:>12}  {}\n", fit.name, short_count(fit.parameters), format_bytes(fit.total_bytes),
                        name_of(fit.verdict));
  }
  const bool is_tight = std::ranges::any_of(fits, [](const auto& fit) { return fit.verdict == Verdict::kTight; });
  if (is_tight) text += "  tight: it leaves less than code, libraries and a driver may need\n";
  if (type.bits < 16) text += fmt::format("  {}", kScalesNote);
  return {text, std::ranges::any_of(fits, [](const auto& fit) { return fit.verdict == Verdict::kYes; })};
}

Json weights_json(const WeightType& type, const Subject* subject, const GenerationShape& shape, const MemoryBudget& budget) {
  const std::vector<InferenceFit> fits = subject != nullptr
                                             ? std::vector{fit_of(subject->spec, type, within(shape, subject->spec), budget)}
                                             : fit_published_models(type, shape, budget);
  Json list = Json::array();
  for (const InferenceFit& fit : fits) {
    list.push_back({{"model", fit.name},
                    {"parameters", fit.parameters},
                    {"total_bytes", fit.total_bytes},
                    {"verdict", name_of(fit.verdict)}});
  }
  return {{"weights", type.name},
          {"sequences", shape.num_sequences},
          {"limit_bytes", budget.limit_bytes},
          {"limit_source", budget.source},
          {"models", list}};
}

}  // namespace virgil
