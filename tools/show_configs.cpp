// show_configs: the presets, what each takes and which fit.
//
// Exit codes: 0, 1 nothing fits (or an internal error), 2 something its user can mend.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/report/show_configs.h"

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    return virgil::run_show_configs(arguments, std::cout);
  } catch (const virgil::UserError& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "internal error: {}\n", error.what());
    return 1;
  }
}
