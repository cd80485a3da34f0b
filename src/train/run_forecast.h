// What a run will take of time and disk, told before its first step.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "virgil/base/file_system.h"
#include "virgil/base/logging.h"
#include "virgil/config/train_config.h"
#include "virgil/data/dataset.h"
#include "virgil/model/memory_plan.h"
#include "virgil/train/evaluator.h"

namespace virgil {

class Trainer;

/// What evaluations cover, and a warning where that is too little to judge by.
void describe_evaluations(const TrainConfig& config, const Evaluator& evaluator, const Dataset& data, Logger& log);

/// The checkpoints of a run that goes on from `first_step`, and the disk they lie on.
struct DiskForecast {
  std::int64_t checkpoint_bytes = 0;
  std::int64_t most_at_once = 0;  // checkpoints that come to those already there: kept, the best, and one being written
  std::int64_t free_bytes = 0;    // with what --overwrite will remove; negative: unknown

  [[nodiscard]] std::int64_t most_bytes() const;
};
[[nodiscard]] DiskForecast forecast_disk(const TrainConfig& config, std::int64_t first_step, bool evaluates,
                                         std::int64_t checkpoint_bytes, const std::filesystem::path& run,
                                         const FileSystem& files);
/// Says it, and warns where the disk will be full before the run's end. Throws UserError where not even one checkpoint fits.
void describe_disk(const TrainConfig& config, const DiskForecast& forecast, const std::filesystem::path& run, Logger& log);

/// How a run's time is found out.
enum class TimeSource { kMicroStep, kFirstSteps, kMatmul };
/// A micro-step is timed where that is expected to take a moment; a dry run, which has nothing else to do, waits longer.
[[nodiscard]] TimeSource choose_time_source(double expected_micro_step_s, bool dry_run);

/// How long the run will take from `first_step` on, by a micro-step that `trainer` takes, or the expectation (by a timed matrix
/// product) that waits for better. Throws Stopped.
[[nodiscard]] std::string forecast_time(const TrainConfig& config, std::int64_t first_step, double expected_step_s,
                                        TimeSource source, Trainer& trainer);

}  // namespace virgil
