// Running another program and reading what it prints.
#pragma once

#include <string>

namespace virgil::bench {

/// `word` as a POSIX shell reads it back.
[[nodiscard]] std::string quoted(const std::string& word);

struct Output {
  int status = 0;    // exit status; -1 when a signal ended it
  std::string text;  // standard output
};
/// Runs a shell command. Throws UserError when it cannot be started.
[[nodiscard]] Output run_command(const std::string& command);

}  // namespace virgil::bench
