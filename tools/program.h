// What the small programs share: flags, notes on standard error, exit codes.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "flag_names.h"
#include "virgil/base/error.h"
#include "virgil/base/failure.h"
#include "virgil/base/logging.h"
#include "virgil/base/progress.h"
#include "virgil/base/standard_streams.h"
#include "virgil/train/config_schema.h"
#include "virgil/train/device.h"
#include "virgil/train/program_version.h"
#include "virgil/train/value_words.h"

namespace virgil {

class StderrLogger final : public Logger {
 public:
  void info(std::string_view line) override { fmt::print(stderr, "{}\n", line); }
  void warn(std::string_view line) override { fmt::print(stderr, "warning: {}\n", line); }
};

/// Thrown after --help has been printed: the program has nothing else to do.
class HelpShown : public std::exception {};

/// "bf16" -> "bfloat16".
inline std::string known_dtype(const std::string& dtype) { return known_word(*find_config_key("dtype"), dtype); }

/// "gpu" -> "cuda".
inline std::string known_device(const std::string& device) { return known_word(*find_config_key("device"), device); }

/// What is wrong with a value of --device, or empty.
inline std::string device_problem(const std::string& device) {
  const std::string problem = check_device(device);
  return problem.empty() ? "" : fmt::format("\"{}\" {}", device.substr(0, 100), problem);
}

/// "--max-new-tokens=5" -> "--max_new_tokens", "=5".
struct WrittenFlag {
  explicit WrittenFlag(const std::string& argument)
      : name(argument.substr(0, argument.find('='))), rest(argument.substr(name.size())) {
    if (name.starts_with("--")) std::replace(name.begin() + 2, name.end(), '-', '_');
  }
  std::string name;
  std::string rest;
};

inline UserError unknown_flag(const CLI::App& app, const std::string& written) {
  std::vector<std::string> names = {"--version"};
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  const std::string nearest = nearest_name(written, names);
  const std::string hint = nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest);
  return user_error("{}: unknown flag{} ({} --help lists all)", written.substr(0, 100), hint, app.get_name());
}

/// The program's own flag for one as it was written.
inline std::string own_flag(const CLI::App& app, const std::string& written) {
  if (app.get_option_no_throw(written) != nullptr) return written;
  const FlagName* foreign = find_flag_name(written);
  if (foreign == nullptr || (!foreign->known.empty() && app.get_option_no_throw(std::string(foreign->known)) == nullptr)) {
    throw unknown_flag(app, written);
  }
  if (foreign->known.empty()) throw user_error("{}: no such flag here; {}", written, foreign->hint);
  return std::string(foreign->known);
}

/// One language for all programs: '-' and '_' alike, other programs' flags, and switches that a word may follow.
inline std::vector<std::string> own_arguments(const CLI::App& app, const std::vector<std::string>& arguments) {
  std::vector<std::string> own;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const bool is_flag = arguments[i].size() > 1 && arguments[i].starts_with('-') && std::isdigit(arguments[i][1]) == 0 &&
                         arguments[i][1] != '.';
    if (!is_flag) {
      own.push_back(arguments[i]);
      continue;
    }
    const WrittenFlag flag(arguments[i]);
    const std::string name = own_flag(app, flag.name);
    const CLI::Option* option = app.get_option_no_throw(name);
    if (option->get_expected_max() != 0) {
      own.push_back(name + flag.rest);
      // A value is a value, whatever it looks like; but not the next flag.
      if (flag.rest.empty() && i + 1 < arguments.size() && !arguments[i + 1].starts_with("--")) own.push_back(arguments[++i]);
      continue;
    }
    std::optional<bool> on = flag.rest.empty() ? true : parse_switch(flag.rest.substr(1));
    if (!on) throw user_error("{} is \"{}\", but takes true or false", name, flag.rest.substr(1, 100));
    if (flag.rest.empty() && i + 1 < arguments.size() && parse_switch(arguments[i + 1])) on = parse_switch(arguments[++i]);
    if (*on) own.push_back(name);
  }
  return own;
}

/// Parses flags into what `app` is bound to. Throws UserError, or HelpShown after --help or --version.
inline void parse_arguments(CLI::App& app, int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (std::ranges::find(arguments, "--version") != arguments.end()) {
    fmt::print("{}", program_version(app.get_name()));
    throw HelpShown();
  }
  for (CLI::Option* option : app.get_options({})) {  // a flag given twice counts the last time, as train takes it
    const bool throws = option->get_multi_option_policy() == CLI::MultiOptionPolicy::Throw;
    if (throws && option->get_items_expected_max() == 1) option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
  try {
    arguments = own_arguments(app, arguments);
    std::ranges::reverse(arguments);  // as CLI11 wants them
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    throw HelpShown();
  } catch (const CLI::ExtrasError&) {
    throw user_error("unexpected argument \"{}\"; values follow a flag ({} --help lists all)",
                     app.remaining().empty() ? "" : app.remaining().front().substr(0, 100), app.get_name());
  } catch (const CLI::ParseError& error) {
    throw user_error("{} ({} --help lists all flags)", error.what(), app.get_name());
  }
}

/// Runs a program's body and gives its exit code: 0 done, 1 an internal error or a model that computes NaN, 2 something its
/// user can mend, 130 stopped by a signal.
inline int run_program(const std::function<void()>& body) {
  open_standard_streams();
  try {
    body();
    return 0;
  } catch (const HelpShown&) {
    return 0;
  } catch (const Stopped&) {
    return 130;
  } catch (...) {
    const Failure failure = describe_failure(std::current_exception());
    fmt::print(stderr, "{}\n", failure.message);
    return failure.exit_code;
  }
}

}  // namespace virgil
