// The program show_configs, apart from its streams and exit codes' last step.
#pragma once

#include <iosfwd>
#include <span>
#include <string>

#include "virgil/base/logging.h"

namespace virgil {

/// Runs the command; what is said beside its answer goes to `log`. Returns the exit code: 0, or 1 when the question was what
/// fits and nothing does. Throws UserError.
[[nodiscard]] int run_show_configs(std::span<const std::string> arguments, std::ostream& out, Logger& log);

}  // namespace virgil
