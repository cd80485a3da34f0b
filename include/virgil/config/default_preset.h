// The model of a command that names none: a preset. preset_choice.h chooses which.
#pragma once

#include <string>

#include "virgil/config/config_schema.h"

namespace virgil {

/// Whether a command that trains on something says nothing of its model: no config, no size, no weights to start from, no run
/// to resume.
[[nodiscard]] bool leaves_model_open(const CommandLine& command_line);

/// Whether an input is a token file by its name.
[[nodiscard]] bool gives_token_files(const TrainConfig& config);

/// The command with the preset as its config file. Token files are not learned from character by character: with them the
/// default tokenizer replaces the preset's.
[[nodiscard]] CommandLine with_preset(const CommandLine& command_line, const std::string& preset);

}  // namespace virgil
