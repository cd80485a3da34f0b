// Memory of a trained model that is used: what generate and evaluate allocate, and what calc_params says of it.
#pragma once

#include <cstdint>

#include "virgil/backend/backend.h"
#include "virgil/model/architecture.h"
#include "virgil/model/memory_plan.h"

namespace virgil {

struct InferenceShape {
  std::int64_t num_sequences = 0;  // generated at once, up to the model's block_size; 0: no generation
  std::int64_t batch_size = 0;     // windows of block_size evaluated at once; 0: no evaluation
  DType dtype = DType::kFloat32;   // of weights, caches and activations
  std::int64_t context = 0;        // of each generated sequence, prompt included; 0: the model's block_size
};

/// Weights without gradients or optimizer, and the memory of the passes asked for (one of them at least).
[[nodiscard]] MemoryPlan plan_inference(const Architecture& model, const InferenceShape& shape, const BackendTraits& traits);

}  // namespace virgil
