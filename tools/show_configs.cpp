// show_configs: the presets, what each takes and which fit.
//
// Exit codes: 0, 1 nothing fits (or an internal error), 2 something its user can mend.
#include <iostream>
#include <string>
#include <vector>

#include "virgil/command/program.h"
#include "virgil/command/show_configs.h"

int main(int argc, char** argv) {
  virgil::StderrLogger log;
  return virgil::run_program(argc, argv, [&](const std::vector<std::string>& arguments) {
    return virgil::run_show_configs(arguments, std::cout, log);
  });
}
