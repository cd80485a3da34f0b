// sweep: train for each of several settings, and a comparison. docs/sweep.md
//
// Exit codes: 0 done, 1 a run failed or diverged (or an internal error), 2 something its user can mend, 130 stopped by a
// signal.
#include <string>
#include <vector>

#include "virgil/command/program.h"
#include "virgil/command/sweep_command.h"
#include "virgil/config/program_name.h"

int main(int argc, char** argv) {
  return virgil::run_program(argc, argv, [&](const std::vector<std::string>& arguments) {
    return virgil::sweep_program(arguments, virgil::program_folder(argv[0]) + "train");
  });
}
