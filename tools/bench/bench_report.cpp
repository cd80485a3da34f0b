#include "bench/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "bench/spread_text.h"
#include "virgil/base/format.h"

namespace virgil::bench {

namespace {

/// Time of all ops of a step when every op is timed.
double ops_ms(const StepResult& step) {
  double sum = 0;
  for (const auto& [family, ms] : step.by_family_ms) sum += ms;
  return sum;
}

/// All calls of one op in the update, of whatever shape.
struct UpdateOp {
  std::string name;
  OpCost cost;
  double ms = 0;
};

/// Slowest first.
std::vector<UpdateOp> update_ops(const StepResult& step) {
  std::map<std::string, UpdateOp> by_name;
  for (const OpTiming& op : step.ops) {
    if (op.label.phase != kUpdatePhase) continue;
    UpdateOp& sum = by_name[op.label.name];
    sum.name = op.label.name;
    sum.cost.flops += op.cost.flops * static_cast<double>(op.calls);
    sum.cost.bytes += op.cost.bytes * static_cast<double>(op.calls);
    sum.ms += op.total_ms();
  }
  std::vector<UpdateOp> ops;
  for (const auto& [name, op] : by_name) ops.push_back(op);
  std::ranges::sort(ops, std::ranges::greater(), &UpdateOp::ms);
  return ops;
}

double update_ms(const StepResult& step) {
  const auto found = step.by_family_ms.find(OpTimer::kUpdateFamily);
  return found == step.by_family_ms.end() ? 0 : found->second;
}

std::string rate_text(const OpCost& cost, double ms) {
  return cost.flops > 0 ? fmt::format("{:8.1f} GFLOP/s", cost.flops / (ms * 1e6))
                        : fmt::format("{:8.1f} GB/s", cost.bytes / (ms * 1e6));
}

std::string update_text(const StepResult& step) {
  std::string text =
      fmt::format("update   {:.2f} ms, {:.1f} % of a step\n", update_ms(step), 100 * update_ms(step) / ops_ms(step));
  for (const UpdateOp& op : update_ops(step)) {
    text += fmt::format("         {:<16} {:>9.2f} ms {:>6.1f} % {}\n", op.name, op.ms, 100 * op.ms / ops_ms(step),
                        rate_text(op.cost, op.ms));
  }
  return text;
}

nlohmann::json update_json(const StepResult& step) {
  nlohmann::json json = {{"ms", update_ms(step)}, {"share", update_ms(step) / ops_ms(step)}, {"ops", nlohmann::json::array()}};
  for (const UpdateOp& op : update_ops(step)) {
    json["ops"].push_back({{"name", op.name}, {"ms", op.ms}, {"flops", op.cost.flops}, {"bytes", op.cost.bytes}});
  }
  return json;
}

std::string op_line(const OpTiming& op, const MachinePeak& peak, double step_ms) {
  const std::string share = step_ms > 0 ? fmt::format("{:6.1f} %", 100 * op.total_ms() / step_ms) : std::string(8, ' ');
  return fmt::format("  {:<31} {:<34} {:>5} {:>10.3f} {:>10.3f} {} {} {}\n", op.label.name, op.label.shape, op.calls, op.ms,
                     op.cost.floor_ms(peak), share_cell(op.floor_share), share, rate_text(op.cost, op.ms));
}

nlohmann::json op_json(const OpTiming& op, const MachinePeak& peak, double step_ms) {
  nlohmann::json json = {{"name", op.label.name},
                         {"shape", op.label.shape},
                         {"phase", op.label.phase},
                         {"calls", op.calls},
                         {"ms", op.ms},
                         {"floor_ms", op.cost.floor_ms(peak)},
                         {"flops", op.cost.flops},
                         {"bytes", op.cost.bytes},
                         {"floor_share", spread_json(op.floor_share)}};
  if (step_ms > 0) json["share"] = op.total_ms() / step_ms;
  return json;
}

std::string op_table(const BenchResult& result) {
  const MachinePeak peak = result.peak.medians();
  bool any_marks = false;
  std::string text = fmt::format("\n  {:<31} {:<34} {:>5} {:>10} {:>10} {:>8}{:>17}\n", "op", "shape", "calls", "ms",
                                 "floor_ms", "of floor", "share");
  const auto add = [&](const char* heading, const std::vector<OpTiming>& ops, const char* phase, double step_ms) {
    std::string rows;
    for (const OpTiming& op : ops) {
      if (op.label.phase != phase) continue;
      rows += op_line(op, peak, step_ms);
      any_marks = any_marks || !op.floor_share.tells_from(1);
    }
    if (!rows.empty()) text += heading + rows;
  };
  add("", result.step.ops, kStepPhase, ops_ms(result.step));
  add("  of the update\n", result.step.ops, kUpdatePhase, ops_ms(result.step));
  add("  of evaluation and generation\n", result.inference_ops, kInferencePhase, 0);
  return text + explain_marks(any_marks);
}

std::string race_text(const AttentionRace& race) {
  if (!race.skipped.empty()) return fmt::format("cudnn    skipped: {}\n", race.skipped);
  const auto line = [](const char* pass, double ours, double cudnn, const Spread& ratio) {
    return fmt::format("         {:<8} {:>8.3f} ms, cuDNN {:>8.3f} ms: {:.2f} times as fast ({:.2f} to {:.2f})\n", pass, ours,
                       cudnn, ratio.median, ratio.lower, ratio.upper);
  };
  return fmt::format("cudnn    attention of qkv {}; scratch {}, cuDNN {}\n", race.shape,
                     format_bytes(race.virgil.workspace_bytes), format_bytes(race.cudnn.workspace_bytes)) +
         line("forward", race.virgil.forward_ms, race.cudnn.forward_ms, race.forward_ratio) +
         line("backward", race.virgil.backward_ms, race.cudnn.backward_ms, race.backward_ratio);
}

nlohmann::json race_json(const AttentionRace& race) {
  if (!race.skipped.empty()) return {{"skipped", race.skipped}};
  const auto times = [](const AttentionTimes& t) -> nlohmann::json {
    return {{"forward_ms", t.forward_ms}, {"backward_ms", t.backward_ms}, {"workspace_bytes", t.workspace_bytes}};
  };
  return {{"shape", race.shape},
          {"virgil", times(race.virgil)},
          {"cudnn", times(race.cudnn)},
          {"forward_ratio", spread_json(race.forward_ratio)},
          {"backward_ratio", spread_json(race.backward_ratio)}};
}

}  // namespace

std::vector<std::string> doubts_of(const BenchResult& result) {
  std::vector<std::string> doubts = {doubt_of_peak(result.peak),
                                     doubt_of_share("the step's share of the peak", result.step.peak_share, "more --steps")};
  if (result.generation) {
    doubts.push_back(doubt_of_share("generation's share of the rate of reading the weights", result.generation->floor_share,
                                    "--generate, which measures it at length"));
  }
  if (result.cudnn && result.cudnn->skipped.empty()) {
    doubts.push_back(doubt_of_ratio("cuDNN's time over ours, forward,", result.cudnn->forward_ratio));
    doubts.push_back(doubt_of_ratio("cuDNN's time over ours, backward,", result.cudnn->backward_ratio));
  }
  if (result.torch) doubts.push_back(doubt_of_ratio("our rate over PyTorch's", result.torch->ratio));
  std::erase(doubts, "");
  return doubts;
}

std::string text_report(const BenchResult& result, bool ops) {
  const StepResult& step = result.step;
  std::string text = fmt::format("device   {}\n", result.device);
  text += fmt::format("peak     {}\n", describe_peak(result.peak));
  text += fmt::format("step     {:.1f} ms ({:.1f} to {:.1f}), {:.0f} tokens/s, {:.1f} GFLOP/s in {}, {}\n", step.ms.median,
                      step.ms.lower, step.ms.upper, step.tokens_per_s(), step.model_gflops(), name_of(result.dtype),
                      share_text(step.peak_share, "peak"));
  text += fmt::format("         medians (and middle halves) of {} step{} in turns with {} slices of the peak\n", step.ms.count,
                      step.ms.count == 1 ? "" : "s", result.peak.gemm_gflops.count);
  std::vector<std::pair<double, std::string>> families;
  for (const auto& [family, ms] : step.by_family_ms) families.emplace_back(ms, family);
  std::ranges::sort(families, std::ranges::greater());
  for (const auto& [ms, family] : families) {
    text += fmt::format("         {:<16} {:>9.2f} ms {:>6.1f} %\n", family, ms, 100 * ms / ops_ms(step));
  }
  text += update_text(step);
  text +=
      fmt::format("memory   {} planned and allocated; memory in use grew by {}, {:+.2f} %\n",
                  format_bytes(result.planned_bytes), format_bytes(result.resident_growth_bytes),
                  100 * (static_cast<double>(result.resident_growth_bytes) / static_cast<double>(result.planned_bytes) - 1));
  if (result.generation) {
    const GenerationResult& generation = *result.generation;
    text += fmt::format(
        "generate {:.0f} tokens/s, batch 1: {}\n", generation.tokens_per_s(),
        share_text(generation.floor_share, fmt::format("the rate of reading {} of weights for each",
                                                       format_bytes(static_cast<std::int64_t>(generation.weight_bytes)))));
  }
  if (ops) text += op_table(result);
  if (result.cudnn) text += race_text(*result.cudnn);
  if (result.torch) {
    const Spread& ratio = result.torch->ratio;
    text += fmt::format("torch    {} tokens/s {:.0f}, ours {:.0f}: {:.2f} times as fast ({:.2f} to {:.2f})\n",
                        result.torch->torch_version, result.torch->torch, result.torch->ours, ratio.median, ratio.lower,
                        ratio.upper);
  } else if (result.torch_wanted) {
    text += "torch    skipped: the Python interpreter has no PyTorch (--python NAME chooses another)\n";
  }
  for (const std::string& doubt : doubts_of(result)) text += fmt::format("warning  {}\n", doubt);
  return text;
}

std::string json_report(const BenchResult& result) {
  const StepResult& step = result.step;
  const MachinePeak peak = result.peak.medians();
  nlohmann::json json;
  json["device"] = result.device;
  json.update(peak_json(result.peak));
  json["step"] = {{"dtype", name_of(result.dtype)},      {"ms", step.ms.median},
                  {"tokens_per_s", step.tokens_per_s()}, {"model_gflops", step.model_gflops()},
                  {"mfu", step.peak_share.median},       {"by_op_ms", step.by_family_ms},
                  {"ms_spread", spread_json(step.ms)},   {"mfu_spread", spread_json(step.peak_share)},
                  {"update", update_json(step)}};
  json["memory"] = {{"planned", result.planned_bytes}, {"resident_growth", result.resident_growth_bytes}};
  if (result.generation) {
    json["generation"] = {{"tokens_per_s", result.generation->tokens_per_s()},
                          {"weight_bytes", result.generation->weight_bytes},
                          {"share_of_floor", result.generation->floor_share.median},
                          {"share_of_floor_spread", spread_json(result.generation->floor_share)}};
  }
  json["ops"] = nlohmann::json::array();
  for (const OpTiming& op : step.ops) json["ops"].push_back(op_json(op, peak, ops_ms(step)));
  for (const OpTiming& op : result.inference_ops) json["ops"].push_back(op_json(op, peak, 0));
  if (result.cudnn) json["cudnn"] = race_json(*result.cudnn);
  if (result.torch) {
    json["torch"] = {{"version", result.torch->torch_version},
                     {"tokens_per_s", result.torch->torch},
                     {"ours_tokens_per_s", result.torch->ours},
                     {"ratio", result.torch->ratio.median},
                     {"ratio_spread", spread_json(result.torch->ratio)}};
  }
  json["warnings"] = doubts_of(result);
  return json.dump(2) + "\n";
}

}  // namespace virgil::bench
