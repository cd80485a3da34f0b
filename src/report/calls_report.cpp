#include "virgil/report/calls_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "virgil/base/format.h"

namespace virgil {

namespace {

using Json = nlohmann::ordered_json;

/// Without what all names of a model begin with.
std::string_view short_name(const TapeTensor& tensor) {
  std::string_view name = tensor.name;
  for (const std::string_view prefix : {"transformer.", "model."}) {
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  }
  return name;
}

bool is_placed_in_arena(const TapeTensor& tensor) { return tensor.slot == PlanSlot::kActivations && !tensor.offset_bytes; }

std::string_view name_of(PlanSlot slot) {
  switch (slot) {
    case PlanSlot::kWeights:
      return "weights";
    case PlanSlot::kGradients:
      return "gradients";
    case PlanSlot::kActivations:
      return "activations";
    case PlanSlot::kLogits:
      return "logits";
    case PlanSlot::kLosses:
      return "losses";
    case PlanSlot::kScalars:
      return "scalars";
    case PlanSlot::kInputs:
      return "inputs";
    case PlanSlot::kTargets:
      return "targets";
    default:
      return "other";
  }
}

std::string_view name_of(ops::Access access) {
  if (access == ops::Access::kRead) return "read";
  return access == ops::Access::kWrite ? "write" : "update";
}

const TapeTensor& tensor_of(const Tape& tape, const ConstTensorView& view) {
  return tape.tensors()[static_cast<std::size_t>(view.tensor())];
}

/// "h.0.ln_1 (12, 256, 384) @1.5 MiB": where it lies is told of what is written to the arena.
std::string operand_text(const PlacedTape& placed, const ConstTensorView& view, ops::Access access) {
  const TapeTensor& tensor = tensor_of(placed.tape, view);
  std::string text = fmt::format("{} {}", short_name(tensor), view.shape().to_string());
  if (access == ops::Access::kUpdate) text += " +=";
  if (access != ops::Access::kRead && is_placed_in_arena(tensor)) {
    text += " @" + format_bytes(placed.arena->offset_of(view.tensor()) + view.offset_bytes());
  }
  return text;
}

/// Of ops that have dropout, where it is on.
std::optional<float> dropout_of(const Call& call) {
  return std::visit(
      []<typename Op>(const Op& op) -> std::optional<float> {
        if constexpr (requires { op.dropout; }) {
          if (op.dropout.enabled()) return op.dropout.p;
        }
        return std::nullopt;
      },
      call);
}

std::string call_line(const PlacedTape& placed, std::size_t index, const BackendTraits& traits) {
  const Call& call = placed.tape.calls()[index];
  std::string outputs;
  std::string inputs;
  for_each_operand(call, [&](std::string_view name, const ConstTensorView& view, ops::Access access) {
    std::string& list = access == ops::Access::kRead ? inputs : outputs;
    if (!list.empty()) list += ", ";
    if (access == ops::Access::kRead) list += fmt::format("{} ", name);
    list += operand_text(placed, view, access);
  });
  const ops::Cost cost = cost_of(call);
  const std::string name = fmt::format("{}{}", virgil::name_of(call), placed.tape.is_recomputation(index) ? " *" : "");
  return fmt::format("{:>5}  {:<32} {:>10.3f} {:>10.2f} {:>10}  {}{}\n", index, name, 1e-9 * cost.flops, 1e-6 * cost.bytes,
                     format_bytes(traits.workspace_bytes(call)), outputs, inputs.empty() ? "" : " <- " + inputs);
}

}  // namespace

std::string describe_calls(const MemoryPlan& plan, const BackendTraits& traits) {
  const PlacedTape placed = plan.training();
  double flops = 0;
  double bytes = 0;
  std::int64_t scratch = 0;
  std::string lines;
  for (std::size_t i = 0; i < placed.tape.calls().size(); ++i) {
    const ops::Cost cost = cost_of(placed.tape.calls()[i]);
    flops += cost.flops;
    bytes += cost.bytes;
    scratch = std::max(scratch, traits.workspace_bytes(placed.tape.calls()[i]));
    lines += call_line(placed, i, traits);
  }
  const StepShape& step = plan.step();
  return fmt::format(
             "A micro-step of {} x {} tokens in {}, recompute {}: {} calls, {:.1f} GFLOP, {:.1f} MB read and written;\n"
             "activations take {} in the arena ({} if none shared bytes), the ops' scratch {}.\n\n"
             "Each line: what the call writes (+=: adds to, or changes) and where in the arena, <- what it reads. *: made again for the\n"
             "backward pass. Names are those of a checkpoint, without \"transformer.\" or \"model.\"; x.grad is the gradient of x.\n\n"
             "{:>5}  {:<32} {:>10} {:>10} {:>10}\n",
             step.batch_size, step.length, name_of(step.dtype), name_of(step.recompute), placed.tape.calls().size(),
             1e-9 * flops, 1e-6 * bytes, format_bytes(placed.arena->arena_bytes()),
             format_bytes(placed.arena->unshared_bytes()), format_bytes(scratch), "call", "op", "GFLOP", "MB", "scratch") +
         lines;
}

nlohmann::ordered_json calls_json(const MemoryPlan& plan, const BackendTraits& traits) {
  const PlacedTape placed = plan.training();
  const std::vector<Life> lives = placed.tape.lives();
  Json tensors = Json::array();
  for (std::size_t i = 0; i < lives.size(); ++i) {
    const TapeTensor& tensor = placed.tape.tensors()[i];
    std::vector<std::int64_t> shape;
    for (int axis = 0; axis < tensor.shape.rank(); ++axis) shape.push_back(tensor.shape[axis]);
    Json json{{"name", tensor.name}, {"dtype", name_of(tensor.dtype)}, {"shape", shape}, {"slot", name_of(tensor.slot)}};
    if (lives[i].first >= 0) {
      json["offset_bytes"] = tensor.offset_bytes ? *tensor.offset_bytes : placed.arena->offset_of(static_cast<std::int32_t>(i));
      json["first_call"] = lives[i].first;
      json["last_call"] = lives[i].last;
    }
    tensors.push_back(std::move(json));
  }
  Json calls = Json::array();
  for (std::size_t i = 0; i < placed.tape.calls().size(); ++i) {
    const Call& call = placed.tape.calls()[i];
    const ops::Cost cost = cost_of(call);
    Json operands = Json::array();
    for_each_operand(call, [&](std::string_view name, const ConstTensorView& view, ops::Access access) {
      operands.push_back({{"name", name},
                          {"tensor", view.tensor()},
                          {"access", name_of(access)},
                          {"offset_bytes", view.offset_bytes()},
                          {"shape", view.shape().to_string()}});
    });
    Json json{{"op", virgil::name_of(call)},
              {"family", family_of(call)},
              {"sizes", sizes_text(call)},
              {"recomputed", placed.tape.is_recomputation(i)},
              {"flops", cost.flops},
              {"bytes", cost.bytes},
              {"workspace_bytes", traits.workspace_bytes(call)},
              {"operands", std::move(operands)}};
    if (const auto dropout = dropout_of(call)) json["dropout"] = *dropout;
    calls.push_back(std::move(json));
  }
  return {{"arena_bytes", placed.arena->arena_bytes()}, {"calls", std::move(calls)}, {"tensors", std::move(tensors)}};
}

}  // namespace virgil
