#include "bench/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "bench/machine_peak.h"
#include "virgil/base/format.h"

namespace virgil::bench {

namespace {

double total_ms(const OpTiming& timing) { return timing.ms * static_cast<double>(timing.calls); }

double mfu(const BenchResult& result) { return result.step.model_gflops / result.peak.gemm_gflops; }

/// Time of all ops of a step when every op is timed.
double ops_ms(const StepResult& step) {
  double sum = 0;
  for (const auto& [family, ms] : step.by_family_ms) sum += ms;
  return sum;
}

std::string op_line(const OpTiming& op, const MachinePeak& peak, double step_ms) {
  const double floor_ms = op.cost.floor_ms(peak);
  const std::string share = step_ms > 0 ? fmt::format("{:6.1f} %", 100 * total_ms(op) / step_ms) : std::string(8, ' ');
  const std::string rate = op.cost.flops > 0 ? fmt::format("{:8.1f} GFLOP/s", op.cost.flops / (op.ms * 1e6))
                                             : fmt::format("{:8.1f} GB/s", op.cost.bytes / (op.ms * 1e6));
  return fmt::format("  {:<31} {:<34} {:>5} {:>10.3f} {:>10.3f} {:>6.0f} % {} {}\n", op.name, op.shape, op.calls, op.ms,
                     floor_ms, 100 * floor_ms / op.ms, share, rate);
}

nlohmann::json op_json(const OpTiming& op, const MachinePeak& peak, const std::string& phase, double step_ms) {
  nlohmann::json json = {{"name", op.name},        {"shape", op.shape},     {"phase", phase},
                         {"calls", op.calls},      {"ms", op.ms},           {"floor_ms", op.cost.floor_ms(peak)},
                         {"flops", op.cost.flops}, {"bytes", op.cost.bytes}};
  if (step_ms > 0) json["share"] = total_ms(op) / step_ms;
  return json;
}

std::string op_table(const BenchResult& result) {
  std::string text = fmt::format("\n  {:<31} {:<34} {:>5} {:>10} {:>10} {:>8} {:>8}\n", "op", "shape", "calls", "ms",
                                 "floor_ms", "of floor", "share");
  for (const OpTiming& op : result.step.ops) text += op_line(op, result.peak, ops_ms(result.step));
  for (const OpTiming& op : result.inference_ops) text += op_line(op, result.peak, 0);
  return text;
}

std::string race_text(const AttentionRace& race) {
  if (!race.skipped.empty()) return fmt::format("cudnn    skipped: {}\n", race.skipped);
  const auto line = [](const char* pass, double ours, double cudnn) {
    return fmt::format("         {:<8} {:>8.3f} ms, cuDNN {:>8.3f} ms: {:.2f} times as fast\n", pass, ours, cudnn,
                       cudnn / ours);
  };
  return fmt::format("cudnn    attention of qkv {}; scratch {}, cuDNN {}\n", race.shape,
                     format_bytes(race.virgil.workspace_bytes), format_bytes(race.cudnn.workspace_bytes)) +
         line("forward", race.virgil.forward_ms, race.cudnn.forward_ms) +
         line("backward", race.virgil.backward_ms, race.cudnn.backward_ms);
}

nlohmann::json race_json(const AttentionRace& race) {
  if (!race.skipped.empty()) return {{"skipped", race.skipped}};
  const auto times = [](const AttentionTimes& t) -> nlohmann::json {
    return {{"forward_ms", t.forward_ms}, {"backward_ms", t.backward_ms}, {"workspace_bytes", t.workspace_bytes}};
  };
  return {{"shape", race.shape}, {"virgil", times(race.virgil)}, {"cudnn", times(race.cudnn)}};
}

}  // namespace

std::string text_report(const BenchResult& result, bool ops) {
  const StepResult& step = result.step;
  std::string text = fmt::format("device   {}\n", result.device);
  text += fmt::format("peak     {}\n", describe_peak(result.peak));
  text += fmt::format("step     {:.1f} ms, {:.0f} tokens/s, {:.1f} GFLOP/s in {}, {:.1f} % of peak (median of {} steps)\n",
                      step.ms, step.tokens_per_s, step.model_gflops, name_of(result.dtype), 100 * mfu(result), step.num_steps);
  std::vector<std::pair<double, std::string>> families;
  for (const auto& [family, ms] : step.by_family_ms) families.emplace_back(ms, family);
  std::ranges::sort(families, std::ranges::greater());
  for (const auto& [ms, family] : families) {
    text += fmt::format("         {:<16} {:>9.2f} ms {:>6.1f} %\n", family, ms, 100 * ms / ops_ms(step));
  }
  text +=
      fmt::format("memory   {} planned and allocated; memory in use grew by {}, {:+.2f} %\n",
                  format_bytes(result.planned_bytes), format_bytes(result.resident_growth_bytes),
                  100 * (static_cast<double>(result.resident_growth_bytes) / static_cast<double>(result.planned_bytes) - 1));
  if (result.generation) {
    const GenerationResult& generation = *result.generation;
    text += fmt::format("generate {:.0f} tokens/s, batch 1: {:.0f} % of the rate of reading {} of weights for each\n",
                        generation.tokens_per_s(), 100 * generation.share_of_floor(result.peak),
                        format_bytes(static_cast<std::int64_t>(generation.weight_bytes)));
  }
  if (ops) text += op_table(result);
  if (result.cudnn) text += race_text(*result.cudnn);
  if (result.torch) {
    text += fmt::format("torch    {} tokens/s {:.0f}, ours {:.0f}: {:.2f} times as fast\n", result.torch->torch_version,
                        result.torch->torch, result.torch->ours, result.torch->ratio());
  } else if (result.torch_wanted) {
    text += "torch    skipped: the Python interpreter has no PyTorch (--python NAME chooses another)\n";
  }
  return text;
}

std::string json_report(const BenchResult& result) {
  const StepResult& step = result.step;
  nlohmann::json json;
  json["device"] = result.device;
  json["gemm_peak_gflops"] = result.peak.gemm_gflops_by_dtype;
  json["bandwidth_gb_per_s"] = result.peak.bandwidth_gb_per_s;
  json["step"] = {{"dtype", name_of(result.dtype)},    {"ms", step.ms},      {"tokens_per_s", step.tokens_per_s},
                  {"model_gflops", step.model_gflops}, {"mfu", mfu(result)}, {"by_op_ms", step.by_family_ms}};
  json["memory"] = {{"planned", result.planned_bytes}, {"resident_growth", result.resident_growth_bytes}};
  if (result.generation) {
    json["generation"] = {{"tokens_per_s", result.generation->tokens_per_s()},
                          {"weight_bytes", result.generation->weight_bytes},
                          {"share_of_floor", result.generation->share_of_floor(result.peak)}};
  }
  json["ops"] = nlohmann::json::array();
  for (const OpTiming& op : step.ops) json["ops"].push_back(op_json(op, result.peak, "step", ops_ms(step)));
  for (const OpTiming& op : result.inference_ops) json["ops"].push_back(op_json(op, result.peak, "inference", 0));
  if (result.cudnn) json["cudnn"] = race_json(*result.cudnn);
  if (result.torch) {
    json["torch"] = {{"version", result.torch->torch_version},
                     {"tokens_per_s", result.torch->torch},
                     {"ours_tokens_per_s", result.torch->ours},
                     {"ratio", result.torch->ratio()}};
  }
  return json.dump(2) + "\n";
}

}  // namespace virgil::bench
