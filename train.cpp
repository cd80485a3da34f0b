// train: from a text file to a trained GPT.
//
// Exit codes: 0 finished, 1 an internal error or a diverged run, 2 something its user can mend, 130 stopped by a signal.
#include <fmt/format.h>
#include <unistd.h>

#include <exception>
#include <string>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/train/config_schema.h"
#include "virgil/train/console_metrics.h"
#include "virgil/train/stop_signal.h"
#include "virgil/train/training_run.h"

namespace {

int exit_code(virgil::RunStatus status) {
  switch (status) {
    case virgil::RunStatus::kFinished:
      return 0;
    case virgil::RunStatus::kInterrupted:
      return 130;
    case virgil::RunStatus::kDiverged:
      return 1;
  }
  return 1;
}

int run(const std::vector<std::string>& arguments) {
  virgil::StopSignal stop;
  const virgil::CommandLine command_line = virgil::parse_train_command_line(arguments);
  if (command_line.help || arguments.empty()) {
    fmt::print("{}", virgil::config_help());
    return 0;
  }
  const auto files = virgil::make_posix_file_system();
  virgil::ConsoleMetrics console(stdout, isatty(STDOUT_FILENO) == 1);
  return exit_code(virgil::run_training(command_line, *files, console, [&] { return stop.requested(); }));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const virgil::UserError& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "internal error: {}\n", error.what());
    return 1;
  }
}
