// How a run ends, and the commands to continue from there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "virgil/base/logging.h"
#include "virgil/config/config_schema.h"
#include "virgil/data/dataset.h"
#include "virgil/format/checkpoint.h"
#include "virgil/train/memory_summary.h"
#include "virgil/train/run_tally.h"
#include "virgil/train/trainer.h"

namespace virgil {

/// How the programs were started.
struct StartedAs {
  std::string program_folder;  // as in CommandLine
  std::int64_t processes = 1;
};

struct RunEnd {
  RunStatus status = RunStatus::kFinished;
  const TrainingState& state;
  const RunTally& tally;
  double peak_gflops = 0;  // of a matrix product, all processes together; 0: unknown
  const MemoryComparison& memory;
  std::string prompt;  // of the command that generates
};

/// The command that resumes a run, from the folder in which this one was started.
[[nodiscard]] std::string resume_command(const TrainConfig& config, const StartedAs& started);

/// The command that starts a run from a checkpoint's weights, on the inputs of `config` and beside its run. `train` is
/// train_command's.
[[nodiscard]] std::string init_from_command(const std::string& train, const std::filesystem::path& checkpoint,
                                            const TrainConfig& config);

/// A prompt that the model knows something of: that of the run's samples, unless it is the default and the training text begins
/// with words, which are then a few of its first line.
[[nodiscard]] std::string prompt_for(const TrainConfig& config, const Dataset& data);

/// At the last step, with what is due there: a signal may have come in the middle of the last evaluation.
[[nodiscard]] bool is_finished(const TrainConfig& config, const TrainingState& state);

/// Says where the run stands and what it took, plan and reality, and the commands that go on: read from it, resume it, plot it.
void report_end(const RunEnd& end, const TrainConfig& config, const StartedAs& started, Logger& log);

}  // namespace virgil
