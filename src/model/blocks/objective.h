// The calls that follow the head: from logits to losses, and in training to the gradient of the logits.
#pragma once

#include <cstdint>
#include <utility>
#include <variant>
#include <vector>

#include "model/blocks/recorder.h"

namespace virgil {

/// Some rows of a pass.
struct LossRows {
  TensorView logits;       // (n, Vp); `train` leaves their gradient in their place
  TensorView losses;       // (n) float32, to be written
  std::int64_t first = 0;  // number of the first row in the pass
};

/// The cross-entropy of the next token.
class NextTokenLoss {
 public:
  explicit NextTokenLoss(std::vector<TensorView> targets) : targets_(std::move(targets)) {}
  void evaluate(Recorder& recorder, const LossRows& rows) const;
  void train(Recorder& recorder, const LossRows& rows) const;

 private:
  std::vector<TensorView> targets_;  // as targets_of()
};

/// One type for each ObjectiveKind.
using Objective = std::variant<NextTokenLoss>;

/// With the targets of the pass as tensors of the tape.
[[nodiscard]] Objective make_objective(Recorder& recorder, ObjectiveKind kind);

}  // namespace virgil
