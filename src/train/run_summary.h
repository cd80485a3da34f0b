// What a run says of itself before step 0.
#pragma once

#include <cstdint>

#include "train/run_data.h"
#include "virgil/backend/backend.h"
#include "virgil/base/logging.h"
#include "virgil/model/memory_plan.h"

namespace virgil {

/// Model, data, length, memory by category, what differs from the defaults, and warnings.
void describe_run(const TrainConfig& config, const MemoryPlan& plan, const Dataset& data, std::int64_t limit_bytes,
                  Logger& log);

/// GFLOP/s of the model's own MLP matrix product (float32), the best of a few, timed in the memory of a run that has not begun:
/// overwrites activations and weights.
[[nodiscard]] double time_matmul(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory);

/// Seconds that `num_steps` steps may take when matrix products run at this rate.
[[nodiscard]] double estimate_seconds(const TrainConfig& config, const Architecture& model, double matmul_gflops,
                                      std::int64_t num_steps);

}  // namespace virgil
