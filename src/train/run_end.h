// How a run ends, and how it is resumed.
#pragma once

#include <string>

#include "virgil/base/logging.h"
#include "virgil/config/config_schema.h"
#include "virgil/dist/process_group.h"
#include "virgil/format/checkpoint.h"
#include "virgil/train/trainer.h"

namespace virgil {

/// The command that resumes a run.
[[nodiscard]] std::string resume_command(const CommandLine& line, const TrainConfig& config, const ProcessGroup& group);

/// At the last step, with what is due there: a signal may have come in the middle of the last evaluation.
[[nodiscard]] bool is_finished(const TrainConfig& config, const TrainingState& state);

/// Says where the run stands, which checkpoint it left, and the command that resumes it.
void report_end(RunStatus status, const TrainingState& state, const TrainConfig& config, const std::string& resume,
                Logger& log);

}  // namespace virgil
