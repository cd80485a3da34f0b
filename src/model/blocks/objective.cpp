#include "model/blocks/objective.h"

#include <string>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/model/objective.h"
#include "virgil/ops/cross_entropy.h"

namespace virgil {

namespace {

std::vector<TensorView> recorded_targets(Recorder& recorder, ObjectiveKind kind) {
  std::vector<TensorView> tensors;
  for (const PlacedTarget& target : place_targets(targets_of(kind), recorder.shape().batch, recorder.shape().length)) {
    tensors.push_back(recorder.tape().tensor({.name = std::string(target.name),
                                              .dtype = target.dtype,
                                              .shape = target.shape,
                                              .slot = PlanSlot::kTargets,
                                              .offset_bytes = target.offset_bytes}));
  }
  return tensors;
}

}  // namespace

void NextTokenLoss::evaluate(Recorder& recorder, const LossRows& rows) const {
  recorder.tape().add(ops::CrossEntropyForward{.losses = rows.losses,
                                               .logits = rows.logits,
                                               .targets = targets_[0].slice(rows.first, rows.losses.shape()),
                                               .vocab_size = recorder.model().vocab_size});
}

void NextTokenLoss::train(Recorder& recorder, const LossRows& rows) const {
  recorder.tape().add(ops::CrossEntropyForwardBackward{.losses = rows.losses,
                                                       .logits = rows.logits,
                                                       .targets = targets_[0].slice(rows.first, rows.losses.shape()),
                                                       .vocab_size = recorder.model().vocab_size});
}

Objective make_objective(Recorder& recorder, ObjectiveKind kind) {
  switch (kind) {
    case ObjectiveKind::kNextToken:
      return NextTokenLoss(recorded_targets(recorder, kind));
  }
  throw InternalError("no such objective");
}

}  // namespace virgil
