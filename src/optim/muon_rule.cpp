#include "optim/muon_rule.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

#include "virgil/base/error.h"

namespace virgil {

namespace {

bool is_outside(const Tape& tape, const ConstTensorView& operand) {
  return tape.tensors()[static_cast<std::size_t>(operand.tensor())].offset_bytes.has_value();
}

/// Of the tape's tensors outside its arena those that an update writes, and where they lie for one piece.
std::array<std::pair<TensorView, TensorView>, 4> updated_tensors(const MuonTape& muon, const UpdatePiece& piece) {
  const TensorView v = muon.v.present() ? piece.states[1] : TensorView{};
  return {{{muon.param, piece.weights}, {muon.working, piece.working}, {muon.momentum, piece.states[0]}, {muon.v, v}}};
}

}  // namespace

MuonRule::MuonRule(OptimizerKind kind, const MuonOptions& options, const MemoryPlan& plan, const PlannedMemory& memory,
                   std::int64_t alignment_bytes)
    : kind_(kind), options_(options) {
  for (const MuonMatrix& matrix : muon_matrices(plan.parameters())) {
    MuonTape muon = record_muon(matrix, plan.dtype());
    const PlacedTape placed{.tape = muon.tape, .arena = std::make_shared<const ArenaLayout>(muon.tape, alignment_bytes)};
    std::vector<Call> calls(placed.tape.calls().begin(), placed.tape.calls().end());
    for (Call& call : calls) {
      for_each_operand(call, [&](std::string_view /*name*/, auto& operand, ops::Access /*access*/) {
        if (operand.present() && !is_outside(placed.tape, operand)) operand = memory.bind(placed, operand);
      });
    }
    recorded_.push_back({matrix, std::move(muon), std::move(calls)});
  }
}

const MuonRule::Recorded& MuonRule::recorded(const ParameterSpec& spec) const {
  const auto found = std::ranges::find(recorded_, muon_matrix(spec, kind_), &Recorded::matrix);
  VIRGIL_CHECK(found != recorded_.end(), "{} is not in the plan of {}", spec.name, name_of(kind_));
  return *found;
}

void MuonRule::enqueue(Backend& backend, const UpdatePiece& piece, const UpdateStep& step) const {
  const MuonStep numbers{.learning_rate = static_cast<float>(step.learning_rate),
                         .momentum = static_cast<float>(options_.momentum),
                         .beta2 = static_cast<float>(options_.beta2),
                         .weight_decay = static_cast<float>(step.weight_decay),
                         .max_norm = static_cast<float>(step.max_norm),
                         .grad_scale = static_cast<float>(step.grad_scale)};
  const Recorded& kept = recorded(*piece.parameter);
  const auto updated = updated_tensors(kept.muon, piece);
  for (Call call : kept.calls) {
    set_step(call, numbers);
    for_each_operand(call, [&](std::string_view /*name*/, auto& operand, ops::Access /*access*/) {
      if (operand.tensor() < 0) return;  // scratch, or absent
      const auto is = [&](const TensorView& planned) { return planned.present() && planned.tensor() == operand.tensor(); };
      const auto found = std::ranges::find_if(updated, [&](const auto& pair) { return is(pair.first); });
      if (found != updated.end()) {
        operand = found->second;
      } else if constexpr (std::is_same_v<decltype(operand), ConstTensorView&>) {
        operand = is(kept.muon.grad) ? piece.gradients : step.norm;
      }
    });
    backend.run(call);
  }
}

}  // namespace virgil
