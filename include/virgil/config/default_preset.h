// The model of a command that names none.
#pragma once

#include "virgil/base/logging.h"
#include "virgil/config/config_schema.h"

namespace virgil {

/// The defaults are GPT-2's sizes, which take a CPU weeks. A new run there whose command says nothing of its model (no config,
/// no size, no weights to start from) gets the preset tiny, which `log` is told; other commands stay as they are.
[[nodiscard]] CommandLine with_default_preset(const CommandLine& command_line, bool has_gpu, Logger& log);

}  // namespace virgil
