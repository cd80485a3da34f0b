#include "optim/muon_rule.h"

#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

namespace virgil {

void MuonRule::enqueue(Backend& backend, const UpdatePiece& piece, const UpdateStep& step) const {
  const MuonStep numbers{.learning_rate = static_cast<float>(step.learning_rate),
                         .momentum = static_cast<float>(options_.momentum),
                         .weight_decay = static_cast<float>(step.weight_decay),
                         .max_norm = static_cast<float>(step.max_norm),
                         .grad_scale = static_cast<float>(step.grad_scale)};
  MuonTape muon = record_muon({.rows = piece.weights.shape()[0],
                               .columns = piece.weights.shape()[1],
                               .matrices = {piece.matrices.begin(), piece.matrices.end()}},
                              dtype_, numbers);
  auto arena = std::make_shared<const ArenaLayout>(muon.tape, alignment_bytes_);
  const PlacedTape placed{.tape = std::move(muon.tape), .arena = std::move(arena)};
  const auto is = [](const ConstTensorView& operand, const TensorView& planned) {
    return planned.present() && planned.tensor() == operand.tensor();
  };
  for (Call call : placed.tape.calls()) {
    for_each_operand(call, [&](std::string_view /*name*/, auto& operand, ops::Access /*access*/) {
      if (is(operand, muon.param)) {
        operand = piece.weights;
      } else if (is(operand, muon.working)) {
        operand = piece.working;
      } else if (is(operand, muon.momentum)) {
        operand = piece.states[0];
      } else if constexpr (std::is_same_v<decltype(operand), ConstTensorView&>) {
        operand = is(operand, muon.grad)   ? piece.gradients
                  : is(operand, muon.norm) ? step.norm
                                           : ConstTensorView(memory_.bind(placed, operand));
      } else {
        operand = memory_.bind(placed, operand);
      }
    });
    backend.run(call);
  }
}

}  // namespace virgil
