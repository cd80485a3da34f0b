#include "virgil/report/model_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string_view>
#include <vector>

#include "virgil/base/format.h"
#include "virgil/model/inference_plan.h"
#include "virgil/model/optimizer_traits.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/plan/communication.h"
#include "virgil/plan/estimates.h"
#include "virgil/plan/parameter_count.h"

namespace virgil {

namespace {

constexpr double kSustainedShare = 0.4;  // of a GPU's peak, what good trainers reach on models of this size
constexpr double kSecondsPerDay = 86400;
constexpr double kDaysPerYear = 365.25;

std::string line(std::string_view name, const std::string& value) { return fmt::format("  {:<24}{}\n", name, value); }

std::string count_line(std::string_view name, std::int64_t count, std::string_view note = "") {
  return fmt::format("  {:<24}{:>18}{}{}\n", name, format_count(count), note.empty() ? "" : "  ", note);
}

std::string describe_biases(const Architecture& spec) {
  std::string places;
  const auto add = [&](bool present, std::string_view place) {
    if (present) places += fmt::format("{}{}", places.empty() ? "" : ", ", place);
  };
  add(spec.biases.qkv, "query, key, value");
  add(spec.biases.projection, "attention output");
  add(spec.biases.mlp, "feed-forward");
  add(spec.biases.norm && spec.norm == NormKind::kLayerNorm, "layer norms");
  return places.empty() ? "none" : places;
}

std::string_view describe_mlp(MlpKind kind) {
  switch (kind) {
    case MlpKind::kGelu:
      return "GELU";
    case MlpKind::kReluSquared:
      return "ReLU squared";
    case MlpKind::kSwiGlu:
      return "SwiGLU, gated";
    case MlpKind::kGeGlu:
      return "GeGLU, gated";
  }
  return name_of(kind);
}

std::string describe_heads(const Architecture& spec) {
  const std::string heads = fmt::format("{} of {}", spec.num_heads, spec.head_size);
  if (spec.num_kv_heads == spec.num_heads) return heads;
  return fmt::format("{}; {} key and value head{}", heads, spec.num_kv_heads, spec.num_kv_heads == 1 ? "" : "s");
}

std::string describe_architecture(const Architecture& spec) {
  const std::int64_t padded = spec.padded_vocab_size();
  const std::string padding = padded == spec.vocab_size ? "" : fmt::format(" (padded to {})", format_count(padded));
  std::string text = "Architecture\n";
  text += line("Layers", format_count(spec.num_layers));
  text += line("Embedding width", format_count(spec.embedding_dim));
  text += line("Attention heads", describe_heads(spec));
  text += line("Feed-forward width", fmt::format("{} ({})", format_count(spec.d_ff), describe_mlp(spec.mlp)));
  if (spec.conv_taps > 0) text += line("Convolutions", fmt::format("of {} positions before", spec.conv_taps));
  text += line("Context", format_count(spec.block_size));
  text += line("Vocabulary", format_count(spec.vocab_size) + padding);
  text += line("Positions", spec.position == PositionKind::kLearned ? "learned" : "rotary");
  text += line("Norms", spec.norm == NormKind::kLayerNorm ? "LayerNorm" : "RMSNorm");
  text += line("Biases", describe_biases(spec));
  return text;
}

std::string describe_weights(std::int64_t num_parameters) {
  struct Precision {
    const char* name;
    int bits;
  };
  std::string text = "Memory of the weights\n";
  for (const Precision& precision : {Precision{"FP32", 32}, {"FP16 / BF16", 16}, {"INT8", 8}, {"INT4", 4}}) {
    text += fmt::format("  {:<24}{:>18}\n", precision.name, both_units(weight_bytes(num_parameters, precision.bits)));
  }
  return text;
}

std::string describe_communication(const TrainingShape& shape) {
  const DataParallel& parallel = shape.parallel;
  const CommunicationVolume volume = communication_volume(shape);
  std::string text = fmt::format(
      "Communication of each of {} processes: bytes sent, and as many received, in a step of {} tokens\n",
      format_count(parallel.processes), format_count(checked_multiply(shape.sequences_per_step(), shape.model.block_size)));
  text += fmt::format(
      "  {:<24}{:>18}  {}\n", "gradients", format_bytes(volume.gradient_bytes),
      fmt::format("zero_stage {}, summands as {}, beside the backward pass", parallel.zero_stage, name_of(parallel.wire)));
  text += fmt::format("  {:<24}{:>18}{}\n", "weights", format_bytes(volume.weight_bytes),
                      parallel.shards_optimizer() ? fmt::format("  {}, after the update", name_of(shape.dtype)) : "");
  text += fmt::format("  {:<24}{:>18}\n", "total", format_bytes(volume.total_bytes()));
  if (parallel.staging_bytes == 0) return text;
  return text + fmt::format("  {:<24}{:>18}  of the workspace above, in which messages are packed\n", "staging",
                            format_bytes(parallel.staging_bytes));
}

std::string describe_duration(double seconds) {
  if (seconds < 1) return "less than a second";
  const bool in_days = seconds >= 2 * kSecondsPerDay && seconds < 2 * kDaysPerYear * kSecondsPerDay;
  return in_days ? fmt::format("{:.1f} days", seconds / kSecondsPerDay) : duration_in_words(seconds);
}

}  // namespace

std::string both_units(std::int64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (value < 0.1 * (1 << 30)) return fmt::format("{:.2f} MiB {:>10.2f} MB", value / (1 << 20), value / 1e6);
  return fmt::format("{:.2f} GiB {:>10.2f} GB", value / (1 << 30), value / 1e9);
}

std::string short_count(std::int64_t count) {
  const auto value = static_cast<double>(count);
  if (value >= 1e9) return fmt::format("{:.2f}B", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.2f}M", value / 1e6);
  return value >= 1e3 ? fmt::format("{:.1f}K", value / 1e3) : std::to_string(count);
}

std::string short_flops(double flops) {
  return flops >= 1e8 ? fmt::format("{:.3f} GFLOP", flops / 1e9) : fmt::format("{:.3f} MFLOP", flops / 1e6);
}

std::string describe_parameters(const Architecture& spec) {
  const ParameterBreakdown b = count_parameters(spec);
  std::string text = fmt::format("Model: {}\n\n{}\nParameter Breakdown\n", spec.name, describe_architecture(spec));
  text += count_line("Token embedding", b.token_embedding);
  text += count_line("Position embedding", b.position_embedding, b.position_embedding == 0 ? "(rotary: none)" : "");
  text += "  Per layer:\n";
  text += count_line("  Attention", b.attention);
  text += count_line("  Feed-forward", b.mlp);
  text += count_line("  Layer norms", b.layer_norms);
  text += count_line("  Total per layer", b.per_layer);
  text += count_line(fmt::format("All {} layers", spec.num_layers), b.all_layers);
  text += count_line("Final norm", b.final_norm);
  text += count_line("LM head", b.head, spec.tie_weights ? "(shared with the token embedding)" : "(not shared)");
  text += fmt::format("\nTOTAL PARAMETERS: {} ({})\n", format_count(b.total), short_count(b.total));
  if (b.stored_total != b.total) {
    text += fmt::format("  {} without the {} padding rows of the vocabulary, as in a checkpoint\n",
                        format_count(b.stored_total), spec.padded_vocab_size() - spec.vocab_size);
  }
  return text + "\n" + describe_weights(b.total);
}

std::string describe_training(const Subject& subject, const PlannedSubject& planned) {
  if (!planned.plan) {
    const OptimizerTraits optimizer = traits_of(planned.shape.optimizer);
    const std::int64_t copies = 2 + std::ranges::count(optimizer.states, StatePer::kElement, &OptimizerState::per);
    const std::int64_t bytes = checked_multiply(copies, weight_bytes(count_parameters(subject.spec).total, 32));
    return fmt::format(
        "Training memory\n  no plan: {}\n  Weights, gradients and the optimizer's state alone would be {} in float32.\n",
        planned.why_not, format_bytes(bytes));
  }
  const MemoryPlan& plan = *planned.plan;
  const TrainingShape& shape = planned.shape;
  std::string text = fmt::format(
      "Training memory{}: the plan that train allocates (batch {} x {}, {} accumulation step{}, recompute {}, {}{}; {})\n",
      shape.parallel.processes == 1 ? "" : fmt::format(" of each of {} processes", format_count(shape.parallel.processes)),
      shape.batch_size, format_count(shape.model.block_size), shape.grad_accum_steps, shape.grad_accum_steps == 1 ? "" : "s",
      name_of(shape.recompute),
      subject.resolved.dtype == "auto" ? fmt::format("dtype auto: {}", name_of(shape.dtype)) : name_of(shape.dtype),
      shape.master_weights ? "" : " without master weights", planned.machine->description);
  for (const MemoryCategory category : kAllMemoryCategories) {
    const std::int64_t bytes = plan.by_category()[category];
    if (bytes == 0) continue;
    const double percent = 100 * static_cast<double>(bytes) / static_cast<double>(plan.total_bytes());
    text += fmt::format("  {:<24}{:>18}{:>8.1f} %\n", name_of(category), format_bytes(bytes), percent);
  }
  text += fmt::format("  {:<24}{:>18}  = {} GB\n", "total", format_bytes(plan.total_bytes()),
                      fmt::format("{:.2f}", static_cast<double>(plan.total_bytes()) / 1e9));
  if (subject.resolved.dtype == "auto" && !planned.machine->dtype_note.empty()) {
    text += fmt::format("  dtype auto is {}: {}\n", name_of(shape.dtype), planned.machine->dtype_note);
  }
  return shape.parallel.processes == 1 ? text : text + describe_communication(shape);
}

double peak_tflops(const GpuModel& gpu, DType dtype) {
  switch (dtype) {
    case DType::kBFloat16:
      return gpu.bfloat16_tflops;
    case DType::kFloat16:
      return gpu.float16_tflops;
    default:
      return gpu.float32_tflops;
  }
}

Rate sustained_rate(const GpuModel& gpu, DType dtype) {
  const double peak = peak_tflops(gpu, dtype);
  return {kSustainedShare * peak,
          fmt::format("{:.0f} % of the {} TFLOP/s peak of {} in {}", 100 * kSustainedShare, peak, gpu.name, name_of(dtype))};
}

std::string describe_work(const Architecture& spec, const Rate& rate) {
  const FlopsPerToken flops = count_flops(spec);
  const std::int64_t parameters = count_parameters(spec).total;
  const double tokens = static_cast<double>(kOptimalTokensPerParameter) * static_cast<double>(parameters);
  std::string text = "Work\n";
  text += line("Training, a token", fmt::format("{} (6 N: {}, attention: {})", short_flops(flops.training()),
                                                short_flops(flops.parameters), short_flops(flops.attention)));
  text += line("Inference, a token", short_flops(flops.inference()));
  text += line("Compute-optimal tokens",
               fmt::format("{} ({} a parameter)", short_count(std::llround(tokens)), kOptimalTokensPerParameter));
  text += line("Time for these",
               fmt::format("{} at {:.4g} TFLOP/s ({})", describe_duration(training_seconds(flops, tokens, rate.tflops)),
                           rate.tflops, rate.source));
  return text;
}

std::string describe_tensors(const Architecture& spec) {
  const ParameterLayout layout(spec);
  const std::span<const ParameterSpec> tensors = layout.parameters();
  const auto total = static_cast<double>(count_parameters(spec).total);
  std::string text = fmt::format("{:<48}{:>20}{:>16}{:>9}  {}\n", "tensor", "shape", "parameters", "share", "decayed  tied");
  for (const ParameterSpec& tensor : tensors) {
    text += fmt::format("{:<48}{:>20}{:>16}{:>7.2f} %  {:<9}{}\n", tensor.name, tensor.shape.to_string(),
                        format_count(tensor.num_elements()), 100 * static_cast<double>(tensor.num_elements()) / total,
                        tensor.decayed ? "yes" : "no", tensor.tied ? "yes, with the LM head" : "no");
  }
  return text + fmt::format("{} tensors, {} parameters\n", format_count(static_cast<std::int64_t>(tensors.size())),
                            format_count(count_parameters(spec).total));
}

}  // namespace virgil
