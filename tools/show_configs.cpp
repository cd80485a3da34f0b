// show_configs: the presets, what each takes and which fit.
//
// Exit codes: 0, 1 nothing fits (or an internal error), 2 something its user can mend.
#include <iostream>
#include <string>
#include <vector>

#include "program.h"
#include "virgil/command/show_configs.h"

int main(int argc, char** argv) {
  int answer = 0;
  const int code = virgil::run_program([&] {
    virgil::StderrLogger log;
    answer = virgil::run_show_configs(std::vector<std::string>(argv + 1, argv + argc), std::cout, log);
  });
  return code != 0 ? code : answer;
}
