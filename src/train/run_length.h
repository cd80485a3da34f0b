// How long a run is and how its rate falls, once the data and the batch are known.
#pragma once

#include "virgil/base/logging.h"
#include "virgil/config/config_schema.h"
#include "virgil/data/batch_sampler.h"
#include "virgil/data/dataset.h"
#include "virgil/format/checkpoint.h"

namespace virgil {

/// What the length follows from, and what it is written into.
struct RunLength {
  TrainConfig& config;  // resolved
  TrainConfig& given;   // as a later --resume shall find it
  const CommandLine& command_line;
  const LoadedCheckpoint* checkpoint = nullptr;  // what a resumed run continues from
};

/// The resolved config that a checkpoint was trained with; `otherwise` where it does not say.
[[nodiscard]] TrainConfig planned_config(const TrainConfig& otherwise, const LoadedCheckpoint& checkpoint);

/// Settles steps, warm-up and decay, and says where they are not what was given.
void settle_length(const RunLength& run, const Dataset& data, const BatchSampler& windows, Logger& log);

}  // namespace virgil
