#include "virgil/report/fit_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>

#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/config/program_name.h"
#include "virgil/machine/device.h"
#include "virgil/plan/catalogue.h"
#include "virgil/plan/estimates.h"
#include "virgil/plan/parameter_count.h"
#include "virgil/plan/plan_config.h"
#include "virgil/report/inference_report.h"
#include "virgil/report/model_report.h"

namespace virgil {

namespace {

struct NamedVariable {
  std::string_view name;
  SolveVariable variable;
};
constexpr NamedVariable kVariables[] = {{"batch_size", SolveVariable::kBatchSize},
                                        {"block_size", SolveVariable::kBlockSize},
                                        {"n_layer", SolveVariable::kNumLayers},
                                        {"n_embd", SolveVariable::kEmbeddingDim}};

std::int64_t value_of(SolveVariable variable, const TrainingShape& shape) {
  switch (variable) {
    case SolveVariable::kBatchSize:
      return shape.batch_size;
    case SolveVariable::kBlockSize:
      return shape.model.block_size;
    case SolveVariable::kNumLayers:
      return shape.model.num_layers;
    case SolveVariable::kEmbeddingDim:
      return shape.model.embedding_dim;
  }
  throw InternalError("unknown variable");
}

/// "24.00 GiB less 1.00 GiB for code, libraries and a driver".
std::string describe_aim(const MemoryBudget& budget) {
  if (budget.aim_bytes == budget.limit_bytes) return format_bytes(budget.limit_bytes);
  return fmt::format("{} less {} for code, libraries and a driver", format_bytes(budget.limit_bytes),
                     format_bytes(budget.limit_bytes - budget.aim_bytes));
}

}  // namespace

const GpuModel& gpu_of_flag(const std::string& name, std::string_view otherwise) {
  if (const GpuModel* gpu = find_gpu(name)) return *gpu;
  std::vector<std::string> names;
  for (const GpuModel& gpu : known_gpus()) {
    names.push_back(gpu.name);
    names.insert(names.end(), gpu.aliases.begin(), gpu.aliases.end());
  }
  const std::string nearest = nearest_name(name, names);
  const std::string hint = nearest.empty() ? "" : fmt::format("did you mean \"{}\"? ", nearest);
  throw user_error("--gpu \"{}\" is not in data/gpus.json; {}{}", name, hint, otherwise);
}

MachineRequest machine_request(const std::optional<std::string>& gpu, const std::optional<std::string>& fits) {
  MachineRequest request;
  if (gpu) request.gpu = &gpu_of_flag(*gpu, "or give its memory: --fits 12GB");
  if (fits && !fits->empty()) {
    request.memory_bytes = parse_memory_size(*fits);
    request.memory_source = request.gpu == nullptr ? *fits : fmt::format("{} of {}", *fits, request.gpu->name);
  }
  return request;
}

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kYes:
      return "yes";
    case Verdict::kTight:
      return "tight";
    case Verdict::kNo:
      return "no";
  }
  return "unknown";
}

namespace {

std::string describe_inference_fit(const Subject& subject, const MemoryBudget& budget) {
  std::string text = fmt::format(
      "Fits {} ({})? Virgil can neither train nor run this model: {}.\n"
      "  In other programs, generating one sequence of {} tokens, by the type of the weights (cache and activations in 16 bits "
      "or more):\n",
      format_bytes(budget.limit_bytes), budget.source, subject.why_not, format_count(subject.spec.block_size));
  bool any_tight = false;
  for (const InferenceFit& fit : fit_inference(subject.spec, generation_shape(subject), budget)) {
    any_tight = any_tight || fit.verdict == Verdict::kTight;
    text += fmt::format("  {:<10}{:>12}  {}\n", fit.weights.name, format_bytes(fit.total_bytes), name_of(fit.verdict));
  }
  if (any_tight) text += "  tight: it leaves less than code, libraries and a driver may need.\n";
  return text + "  The scales of INT8 and INT4 come on top.\n";
}

}  // namespace

std::string describe_fit(const Subject& subject, const PlannedSubject& planned) {
  if (!subject.trainable && planned.machine) return describe_inference_fit(subject, planned.budget);
  const std::int64_t bytes = planned.get().total_bytes();
  const Verdict verdict = judge(bytes, planned.budget.limit_bytes);
  std::string text = fmt::format("Fits {} ({})? {}: the plan{} takes {} ({}, {})", format_bytes(planned.budget.limit_bytes),
                                 planned.budget.source, name_of(verdict),
                                 planned.shape.parallel.processes == 1
                                     ? ""
                                     : fmt::format(" of each of {} processes", format_count(planned.shape.parallel.processes)),
                                 format_bytes(bytes), name_of(planned.shape.dtype), planned.machine->description);
  if (verdict == Verdict::kNo) {
    text += fmt::format(", {} too much\n", format_bytes(bytes - planned.budget.limit_bytes));
    return text + describe_remedies(planned.shape, planned.budget.limit_bytes, planned.budget.aim_bytes, planned.traits(),
                                    subject.command_line);
  }
  text += fmt::format(", {} are left\n", format_bytes(planned.budget.limit_bytes - bytes));
  if (verdict == Verdict::kTight) {
    text += fmt::format("  less than the {} that code, libraries and a driver may need\n",
                        format_bytes(headroom_bytes(planned.budget.limit_bytes)));
  }
  return text;
}

std::vector<MatrixCell> plan_matrix(const PlannedSubject& planned) {
  static_cast<void>(planned.get());
  std::vector<std::int64_t> batches = {1, 2, 4, 8, 16, 32, 64, planned.shape.batch_size};
  std::ranges::sort(batches);
  batches.erase(std::unique(batches.begin(), batches.end()), batches.end());
  std::vector<MatrixCell> cells;
  for (const std::int64_t batch : batches) {
    for (const Recompute recompute : kAllRecompute) {
      TrainingShape shape = planned.shape;
      shape.batch_size = batch;
      shape.recompute = recompute;
      const std::int64_t bytes = plan_training(shape, planned.traits()).total_bytes();
      cells.push_back({batch, recompute, bytes, judge(bytes, planned.budget.limit_bytes)});
    }
  }
  return cells;
}

std::string describe_matrix(const PlannedSubject& planned) {
  std::string text = fmt::format("GiB of the plan by batch size and recompute; * fits {} ({}), ~ is tight\n",
                                 format_bytes(planned.budget.limit_bytes), planned.budget.source);
  text += fmt::format("{:>12}", "batch_size");
  for (const Recompute recompute : kAllRecompute) text += fmt::format("{:>12}", name_of(recompute));
  for (const MatrixCell& cell : plan_matrix(planned)) {
    if (cell.recompute == kAllRecompute.front()) text += fmt::format("\n{:>12}", cell.batch_size);
    const char mark = cell.verdict == Verdict::kYes ? '*' : cell.verdict == Verdict::kTight ? '~' : ' ';
    text += fmt::format("{:>11}{}", format_gib(cell.planned_bytes), mark);
  }
  return text + "\n";
}

std::int64_t parse_count(const std::string& text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const std::string_view unit(stop, static_cast<std::size_t>(end - stop));
  const double scale = unit.empty()                 ? 1
                       : unit == "K" || unit == "k" ? 1e3
                       : unit == "M" || unit == "m" ? 1e6
                       : unit == "B" || unit == "b" ? 1e9
                                                    : 0;
  const double count = std::round(number * scale);
  constexpr double kMost = 1e15;
  if (error != std::errc() || !(count >= 1 && count <= kMost)) {
    throw user_error("\"{}\" is not a number of parameters; write one such as 150M, 1.5B or 150000000", text);
  }
  return static_cast<std::int64_t>(count);
}

SolveQuestion parse_solve_question(const std::string& text) {
  constexpr std::string_view kTarget = "target_params=";
  if (text.starts_with(kTarget)) return {.variable = std::nullopt, .target_params = parse_count(text.substr(kTarget.size()))};
  const ConfigKey* key = find_config_key(text);
  for (const NamedVariable& named : kVariables) {
    if (named.name == (key != nullptr ? key->name : text)) return {.variable = named.variable};
  }
  throw user_error("--solve \"{}\": solve for batch_size, block_size, n_layer, n_embd or target_params=150M", text);
}

std::string_view name_of(SolveVariable variable) {
  for (const NamedVariable& named : kVariables) {
    if (named.variable == variable) return named.name;
  }
  throw InternalError("unknown variable");
}

SolveAnswer solve_for(SolveVariable variable, const PlannedSubject& planned, const CommandLine& given) {
  static_cast<void>(planned.get());
  const BackendTraits& traits = planned.traits();
  SolveAnswer answer;
  answer.shape = solve_largest(planned.shape, variable, planned.budget.aim_bytes, traits);
  if (!answer.shape) {
    TrainingShape smallest = planned.shape;
    answer.text =
        fmt::format("no {} fits {} ({}), all else equal (batch {}, recompute {})\n", name_of(variable),
                    describe_aim(planned.budget), planned.budget.source, smallest.batch_size, name_of(smallest.recompute));
    return answer;
  }
  const MemoryPlan plan = plan_training(*answer.shape, traits);
  answer.planned_bytes = plan.total_bytes();
  answer.text =
      fmt::format("{} = {}: the plan takes {} of {} ({}), {} parameters, in steps of {}\n", name_of(variable),
                  value_of(variable, *answer.shape), format_bytes(answer.planned_bytes), describe_aim(planned.budget),
                  planned.budget.source, format_count(plan.parameters().num_parameters()), solve_step(planned.shape, variable));
  answer.text += fmt::format("  {}\n", command_text(train_command(given.program_folder, planned.shape.parallel.processes),
                                                    given, changed_keys(planned.shape, *answer.shape)));
  return answer;
}

std::vector<Architecture> models_near(std::int64_t num_parameters, const Architecture& like) {
  constexpr std::size_t kMost = 5;
  std::vector<Architecture> models = models_of_size(num_parameters, like, kMost);
  if (models.empty()) {
    throw user_error(
        "no model of {} parameters: with {} ids the embeddings of the narrowest alone are larger; give a smaller "
        "--vocab_size",
        format_count(num_parameters), like.vocab_size);
  }
  return models;
}

std::string describe_models_of_size(std::int64_t num_parameters, const Architecture& like) {
  std::string text = fmt::format("models near {} parameters, vocabulary {}, context {}\n", format_count(num_parameters),
                                 like.vocab_size, like.block_size);
  for (const Architecture& sizes : models_near(num_parameters, like)) {
    const std::int64_t count = count_parameters(trainable(sizes)).total;
    const double off = 100 * (static_cast<double>(count) / static_cast<double>(num_parameters) - 1);
    text += fmt::format("  {:>16} ({:+.2f} %)  --n_layer {} --n_embd {} --n_head {}\n", format_count(count), off,
                        sizes.num_layers, sizes.embedding_dim, sizes.num_heads);
  }
  return text;
}

}  // namespace virgil
