// Calls of calc_params, as tests make them.
#pragma once

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "support/repository.h"
#include "support/user_error.h"
#include "virgil/base/logging.h"
#include "virgil/command/calc_params.h"

namespace virgil::test_support {

struct Result {
  int code = 0;
  std::string text;
};

inline Result calc(const std::vector<std::string>& arguments, const std::string& input = "") {
  std::istringstream in(input);
  std::ostringstream out;
  NullLogger log;
  const int code = run_calc_params(arguments, in, out, log);
  return {code, out.str()};
}

inline nlohmann::json json_of(std::vector<std::string> arguments) {
  arguments.emplace_back("--json");
  return nlohmann::json::parse(calc(arguments).text);
}

inline std::string error_of(const std::vector<std::string>& arguments) {
  return user_error_of([&] { (void)calc(arguments); });
}

inline std::string preset(const std::string& name) { return repository_path("configs/" + name + ".json"); }

inline const std::vector<std::string> kSmall = {"--n_layer",    "2",  "--n_head",     "2",   "--n_embd",     "64",
                                                "--block_size", "64", "--vocab_size", "500", "--batch_size", "4",
                                                "--threads",    "1"};

inline std::vector<std::string> small_with(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = kSmall;
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace virgil::test_support
