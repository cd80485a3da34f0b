// calc_params: parameters and memory of a model, before it is trained.
//
// Exit codes: 0, 1 what was asked for does not fit (or an internal error), 2 something its user can mend.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/report/calc_params.h"

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    return virgil::run_calc_params(arguments, std::cin, std::cout, argv[0]);
  } catch (const virgil::UserError& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "internal error: {}\n", error.what());
    return 1;
  }
}
