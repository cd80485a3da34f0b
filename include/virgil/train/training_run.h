// From a command line to a finished run: builds the parts, says what will happen, trains.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "virgil/base/progress.h"
#include "virgil/config/config_schema.h"
#include "virgil/dist/process_group.h"
#include "virgil/train/metrics.h"
#include "virgil/train/trainer.h"

namespace virgil {

/// Runs the whole command. `command_line.config` is not yet resolved. Prints through `console`. Nothing is written before every
/// check has passed; with dry_run, nothing at all. A run that is already at max_iters is left as it is. `progress` is shown
/// long phases, told what a stop leads to, and asked for one in each of them; before the first step is done a new run stops
/// without a trace, and --overwrite has removed nothing. Every process of `group` calls it with the same command; only rank 0
/// writes files, and needs a console that somebody reads. Throws UserError (AgreedError where all ranks do), LostRankError.
[[nodiscard]] RunStatus run_training(const CommandLine& command_line, FileSystem& files, MetricsSink& console,
                                     ProgressMonitor& progress, ProcessGroup& group);
/// With nothing but a stop.
[[nodiscard]] RunStatus run_training(const CommandLine& command_line, FileSystem& files, MetricsSink& console,
                                     const std::function<bool()>& stop_requested, ProcessGroup& group);
/// In one process.
[[nodiscard]] RunStatus run_training(const CommandLine& command_line, FileSystem& files, MetricsSink& console,
                                     const std::function<bool()>& stop_requested);

}  // namespace virgil
