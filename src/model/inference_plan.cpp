#include "virgil/model/inference_plan.h"

namespace virgil {

MemoryPlan plan_inference(const Architecture& model, const InferenceShape& shape, const BackendTraits& traits) {
  PlanRequest request;
  const std::int64_t context = shape.context > 0 ? shape.context : model.block_size;
  if (shape.num_sequences > 0) request.decode = DecodeShape{shape.num_sequences, context, shape.dtype};
  if (shape.batch_size > 0) {
    request.step =
        StepShape{.batch_size = shape.batch_size, .length = model.block_size, .training = false, .dtype = shape.dtype};
  }
  return {model, request, traits};
}

}  // namespace virgil
