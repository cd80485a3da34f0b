// calc_params: parameters and memory of a model, before it is trained.
//
// Exit codes: 0, 1 what was asked for does not fit (or an internal error), 2 something its user can mend.
#include <iostream>
#include <string>
#include <vector>

#include "virgil/command/calc_params.h"
#include "virgil/command/program.h"

int main(int argc, char** argv) {
  virgil::StderrLogger log;
  return virgil::run_program(argc, argv, [&](const std::vector<std::string>& arguments) {
    return virgil::run_calc_params(arguments, std::cin, std::cout, log, argv[0]);
  });
}
