// calc_params: parameters and memory of a model, before it is trained.
//
// Exit codes: 0, 1 what was asked for does not fit (or an internal error), 2 something its user can mend.
#include <iostream>
#include <string>
#include <vector>

#include "program.h"
#include "virgil/command/calc_params.h"

int main(int argc, char** argv) {
  int answer = 0;
  const int code = virgil::run_program([&] {
    virgil::StderrLogger log;
    answer = virgil::run_calc_params(std::vector<std::string>(argv + 1, argv + argc), std::cin, std::cout, log, argv[0]);
  });
  return code != 0 ? code : answer;
}
