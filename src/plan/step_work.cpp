#include "virgil/plan/step_work.h"

#include <cstddef>
#include <cstdint>

#include "virgil/model/step_tape.h"
#include "virgil/plan/training_plan.h"

namespace virgil {

double call_work(const Call& call, DType dtype) {
  const ops::Cost cost = cost_of(call);
  return cost.flops / 2 + kMultiplyAddsPerNumberMoved * cost.bytes / static_cast<double>(size_of(dtype));
}

double calls_work(const Tape& tape, std::size_t begin, std::size_t end, DType dtype) {
  double work = 0;
  for (std::size_t i = begin; i < end; ++i) work += static_cast<double>(tape.repeats(i)) * call_work(tape.calls()[i], dtype);
  return work;
}

namespace {

/// Of a step of a model with so many of the shape's layers.
double work_with_layers(TrainingShape shape, std::int64_t num_layers, const BackendTraits& traits) {
  shape.model.num_layers = num_layers;
  const Architecture model = trainable(shape.model);
  const StepShape step = *plan_request(shape).step;
  const ParameterLayout parameters(model);
  const Tape tape = record_step(model, step, true, parameters, GradientLayout(parameters, false),
                                choose_logits_rows(model, step, traits), LogitsChunks::kOneOfEachSize);
  return calls_work(tape, 0, tape.calls().size(), step.dtype);
}

}  // namespace

double step_work(const TrainingShape& shape, const BackendTraits& traits) {
  // All layers but the first make the same calls: two are recorded, whatever the depth.
  const double one_layer = work_with_layers(shape, 1, traits);
  const double layer = work_with_layers(shape, 2, traits) - one_layer;
  const auto tokens = static_cast<double>(checked_multiply(shape.batch_size, shape.model.block_size));
  return (one_layer + static_cast<double>(shape.model.num_layers - 1) * layer) / tokens;
}

}  // namespace virgil
