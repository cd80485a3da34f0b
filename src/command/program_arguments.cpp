#include "command/program_arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "command/flag_names.h"
#include "virgil/base/error.h"
#include "virgil/base/nearest_name.h"
#include "virgil/command/program.h"
#include "virgil/config/config_schema.h"
#include "virgil/config/device_name.h"
#include "virgil/config/foreign_names.h"
#include "virgil/config/program_version.h"
#include "virgil/config/value_words.h"

namespace virgil {

namespace {

/// What values of an option's type look like.
std::string_view kind_of_value(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  if (type.starts_with("UINT")) return "a whole number of at least 0, below 2^64";
  if (type.starts_with("INT")) return "a whole number, within 64 bits";
  if (type.starts_with("FLOAT")) return "a number";
  if (type.starts_with("BOOLEAN")) return "true or false";
  return "another value";
}

UserError wrong_value(const CLI::App& app, const CLI::Option& option, const std::string& name, std::string_view value) {
  return user_error("{} is \"{}\", but takes {} ({} --help lists all flags)", name, value.substr(0, 100), kind_of_value(option),
                    app.get_name());
}

/// The value of a whole number in plain digits ("10k"), others as they are. Throws UserError where it is none, or one beyond 64
/// bits, which CLI11 would cut.
std::string checked_value(const CLI::App& app, const CLI::Option& option, const std::string& name, const std::string& value) {
  const std::string type = option.get_type_name();
  const bool is_unsigned = type.starts_with("UINT");
  if (!is_unsigned && !type.starts_with("INT")) return value;
  const std::string plain = plain_whole_number(value);
  const char* end = plain.data() + plain.size();
  std::int64_t number = 0;
  std::uint64_t unsigned_number = 0;
  const std::from_chars_result read =
      is_unsigned ? std::from_chars(plain.data(), end, unsigned_number) : std::from_chars(plain.data(), end, number);
  if (read.ec != std::errc() || read.ptr != end) throw wrong_value(app, option, name, value);
  return plain;
}

std::vector<ToolFlag> flags_of(const CLI::App& app) {
  using enum ToolFlag::Takes;
  std::vector<ToolFlag> flags;
  for (const CLI::Option* option : app.get_options()) {
    const ToolFlag::Takes takes = option->get_items_expected_max() == 0  ? kNothing
                                  : option->get_items_expected_max() > 1 ? kValues
                                                                         : kValue;
    for (const std::string& name : option->get_lnames()) flags.push_back({.name = name, .takes = takes});
  }
  return flags;
}

/// In the layout of train --help.
std::string help_text(const CLI::App& app, const std::string& example) {
  const std::string footer = app.get_footer().empty() ? "  " + example : app.get_footer();
  std::string text = fmt::format("{}\n\n{}\n\n", app.get_description(), footer);
  for (const CLI::Option* option : app.get_options()) {
    const std::vector<std::string>& names = option->get_lnames();
    if (names.front() == "help") continue;
    const bool is_switch = option->get_items_expected_max() == 0;
    std::string head = "--" + names.front();
    std::string help = option->get_description() + ".";
    for (std::size_t i = 1; i < names.size(); ++i) {
      if (names[i] == "no_" + names.front()) {
        head = "--[no_]" + names.front();
      } else {
        help += fmt::format(" Also --{}.", names[i]);
      }
    }
    if (!is_switch) head += option->get_type_name() == "TEXT" ? " TEXT" : " N";
    if (option->get_positional()) help += " Also a word without a flag.";
    if (!option->get_default_str().empty()) help += fmt::format(" [{}]", option->get_default_str());
    text += help_entry(head, help);
  }
  return text + help_entry("--help, -h", "This text.") + help_entry("--version", "The version.");
}

/// The words that CLI11 shall see, last first, as it wants them.
std::vector<std::string> words_for(const CLI::App& app, const ProgramLine& read) {
  std::vector<std::string> words = read.line.words;
  for (const auto& [name, values] : read.own.given()) {
    const std::string flag = "--" + name;
    if (values.empty()) words.push_back(flag);
    for (const std::string& given : values) {
      const std::string value = checked_value(app, *app.get_option(flag), flag, given);
      if (!value.empty()) {
        words.push_back(flag + "=" + value);
      } else {
        words.insert(words.end(), {flag, value});  // CLI11 takes "--flag=" for "--flag"
      }
    }
  }
  std::ranges::reverse(words);
  return words;
}

/// A value that cannot be read: CLI11 says "Could not convert: --seed = abc".
UserError conversion_error(const CLI::App& app, std::string_view message) {
  const std::size_t colon = message.find(": ");
  const std::size_t equals = message.find(" = ");
  if (colon == message.npos || equals == message.npos || equals < colon) return user_error("{}", message.substr(0, 300));
  const std::string name(message.substr(colon + 2, equals - colon - 2));
  const std::string_view value = message.substr(equals + 3);
  const CLI::Option* option = app.get_option_no_throw(name);
  if (option == nullptr) return user_error("{}", message.substr(0, 300));
  return wrong_value(app, *option, name, value);
}

/// Throws UserError naming all of them that were not given. `example` shows how.
void check_given(const std::vector<const CLI::Option*>& required, const std::string& example) {
  std::string missing;
  for (const CLI::Option* option : required) {
    if (option->count() > 0) continue;
    std::string what = option->get_description();
    if (what.size() > 1 && std::islower(static_cast<unsigned char>(what[1])) != 0)
      what[0] = static_cast<char>(std::tolower(what[0]));
    missing += fmt::format("{}--{} is missing (the {})", missing.empty() ? "" : "; ", option->get_lnames().front(), what);
  }
  if (!missing.empty()) throw user_error("{}; as in: {}", missing, example);
}

}  // namespace

std::string known_dtype(const std::string& dtype) { return known_word(*find_config_key("dtype"), dtype); }

std::string known_device(const std::string& device) { return known_word(*find_config_key("device"), device); }

std::string device_problem(const std::string& device) {
  const std::string problem = check_device(device);
  return problem.empty() ? "" : fmt::format("\"{}\" {}", device.substr(0, 100), problem);
}

std::string threads_problem(const std::string& threads) {
  const bool is_number = !threads.empty() && threads.size() <= 4 && threads.find_first_not_of("0123456789") == threads.npos;
  if (is_number && std::stoi(threads) <= 4096) return "";
  return fmt::format("\"{}\" is no number of threads; choose 1 to 4096, or 0 for as many as the process may use",
                     threads.substr(0, 100));
}

void parse_arguments(CLI::App& app, const std::vector<std::string>& arguments, const std::string& example, Logger& log) {
  std::vector<const CLI::Option*> required;
  for (CLI::Option* option : app.get_options({})) {
    // A flag given twice counts the last time, as train takes it.
    const bool throws = option->get_multi_option_policy() == CLI::MultiOptionPolicy::Throw;
    if (throws && option->get_items_expected_max() == 1) option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    if (option->get_required()) required.push_back(option);
    option->required(false);  // check_given says it better
  }
  const std::vector<ToolFlag> flags = flags_of(app);
  const ProgramLine read =
      parse_program_line(arguments, {.program = app.get_name(), .own = flags, .takes_keys = false, .other_names = kFlagNames});
  if (read.line.help || read.line.version) {
    fmt::print("{}", read.line.help ? help_text(app, example) : program_version(app.get_name()));
    throw HelpShown();
  }
  try {
    app.parse(words_for(app, read));
  } catch (const CLI::ExtrasError&) {
    throw user_error("unexpected argument \"{}\"; values follow a flag ({} --help lists all)",
                     app.remaining().empty() ? "" : app.remaining().front().substr(0, 100), app.get_name());
  } catch (const CLI::ConversionError& error) {
    throw conversion_error(app, error.what());
  } catch (const CLI::ParseError& error) {
    throw user_error("{} ({} --help lists all flags)", error.what(), app.get_name());
  }
  check_given(required, example);
  tell_notes(read.line.notes, log);
}

}  // namespace virgil
