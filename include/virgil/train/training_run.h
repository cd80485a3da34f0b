// From a resolved configuration to a finished run: builds the parts, says what will happen, trains.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "virgil/backend/backend.h"
#include "virgil/train/config_schema.h"
#include "virgil/train/metrics.h"
#include "virgil/train/trainer.h"

namespace virgil {

/// The backend that `device`, `dtype` and `threads` ask for. Throws UserError for a combination that this build cannot run.
[[nodiscard]] std::unique_ptr<Backend> make_backend(const TrainConfig& config);

/// Bytes a run may use: max_memory if given, else what the backend says is available.
[[nodiscard]] std::int64_t memory_limit_bytes(const TrainConfig& config, const Backend& backend);

/// Throws OutOfMemoryError with the plan by category and remedies when the plan exceeds `limit_bytes`.
void check_plan_fits(const MemoryPlan& plan, std::int64_t limit_bytes);

/// Runs the whole command. `command_line.config` is not yet resolved. Prints through `console`; with dry_run stops before step
/// 0 and writes nothing. `stop_requested` is asked once a step.
[[nodiscard]] RunStatus run_training(const CommandLine& command_line, FileSystem& files, MetricsSink& console,
                                     const std::function<bool()>& stop_requested);

}  // namespace virgil
