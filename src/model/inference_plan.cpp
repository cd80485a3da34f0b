#include "virgil/model/inference_plan.h"

namespace virgil {

MemoryPlan plan_inference(const Architecture& model, const InferenceShape& shape, const BackendTraits& traits) {
  PlanRequest request;
  if (shape.num_sequences > 0) request.decode = DecodeShape{shape.num_sequences, model.block_size, shape.dtype};
  if (shape.batch_size > 0) {
    request.step =
        StepShape{.batch_size = shape.batch_size, .length = model.block_size, .training = false, .dtype = shape.dtype};
  }
  return {model, request, traits};
}

}  // namespace virgil
