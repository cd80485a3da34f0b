// What main() of a program is made of: notes on standard error, exit codes.
#pragma once

#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/logging.h"

namespace virgil {

class StderrLogger final : public Logger {
 public:
  void info(std::string_view line) override;
  void warn(std::string_view line) override;
};

/// Thrown after --help has been printed: the program has nothing else to do.
class HelpShown : public std::exception {};

/// Runs a program's body, which gets the arguments and gives the exit code: 0 done, or 1 for an answer that is a no. What it
/// throws becomes a message and another one: 1 an internal error or a model that computes NaN, 2 something its user can mend,
/// 130 stopped by a signal.
[[nodiscard]] int run_program(int argc, char** argv, const std::function<int(const std::vector<std::string>& arguments)>& body);

}  // namespace virgil
