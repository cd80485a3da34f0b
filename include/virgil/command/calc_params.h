// The program calc_params, apart from its streams and exit codes' last step.
#pragma once

#include <iosfwd>
#include <span>
#include <string>
#include <string_view>

#include "virgil/base/logging.h"

namespace virgil {

/// Runs the command; what is said beside its answer goes to `log`. `in` is read by --interactive alone; a file is written only
/// there, after asking. Returns the exit code: 0, or 1 when the question was what fits and nothing does. Throws UserError.
[[nodiscard]] int run_calc_params(std::span<const std::string> arguments, std::istream& in, std::ostream& out, Logger& log,
                                  std::string_view started_as = "calc_params");

}  // namespace virgil
