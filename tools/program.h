// What the small programs share: flags, notes on standard error, exit codes.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/logging.h"

namespace virgil {

class StderrLogger final : public Logger {
 public:
  void info(std::string_view line) override { fmt::print(stderr, "{}\n", line); }
  void warn(std::string_view line) override { fmt::print(stderr, "warning: {}\n", line); }
};

/// Thrown after --help has been printed: the program has nothing else to do.
class HelpShown : public std::exception {};

/// Parses flags ('-' and '_' alike) into what `app` is bound to. Throws UserError, or HelpShown after --help.
inline void parse_arguments(CLI::App& app, int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  for (std::string& argument : arguments) {
    if (!argument.starts_with("--")) continue;
    const auto name_end = argument.begin() + static_cast<std::ptrdiff_t>(std::min(argument.find('='), argument.size()));
    std::replace(argument.begin() + 2, name_end, '-', '_');
  }
  std::ranges::reverse(arguments);  // as CLI11 wants them
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    throw HelpShown();
  } catch (const CLI::ParseError& error) {
    throw user_error("{} ({} --help lists all flags)", error.what(), app.get_name());
  }
}

/// Runs a program's body and gives its exit code: 0 done, 1 an internal error, 2 something its user can mend.
inline int run_program(const std::function<void()>& body) {
  try {
    body();
    return 0;
  } catch (const HelpShown&) {
    return 0;
  } catch (const UserError& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "internal error: {}\n", error.what());
    return 1;
  }
}

}  // namespace virgil
