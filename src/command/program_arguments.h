// Flags of the programs that have few of their own: CLI11, in the language that all programs speak.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "virgil/base/logging.h"

namespace virgil {

/// "bf16" -> "bfloat16".
[[nodiscard]] std::string known_dtype(const std::string& dtype);
/// "gpu" -> "cuda".
[[nodiscard]] std::string known_device(const std::string& device);
/// What is wrong with a value of --device, or empty.
[[nodiscard]] std::string device_problem(const std::string& device);
/// What is wrong with a number of threads, or empty.
[[nodiscard]] std::string threads_problem(const std::string& threads);

/// Parses flags into what `app` is bound to, and says what was taken without effect. `example` is a whole command. Throws
/// UserError, or HelpShown after --help or --version.
void parse_arguments(CLI::App& app, const std::vector<std::string>& arguments, const std::string& example, Logger& log);

}  // namespace virgil
