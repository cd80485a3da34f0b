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

/// "--max-new-tokens=5" -> "--max_new_tokens", "=5".
struct WrittenFlag {
  explicit WrittenFlag(const std::string& argument)
      : name(argument.substr(0, argument.find('='))), rest(argument.substr(name.size())) {
    if (name.starts_with("--")) std::replace(name.begin() + 2, name.end(), '-', '_');
  }
  std::string name;
  std::string rest;
};

UserError unknown_flag(const CLI::App& app, const std::string& written) {
  std::vector<std::string> names = {"--version"};
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  const std::string nearest = nearest_name(written, names);
  const std::string hint = nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest);
  return user_error("{}: unknown flag{} ({} --help lists all)", written.substr(0, 100), hint, app.get_name());
}

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

/// A program's arguments as CLI11 shall see them.
struct OwnArguments {
  std::vector<std::string> words;
  std::vector<std::string> notes;  // what was taken without effect
};

/// One language for all programs: '-' and '_' alike, other programs' flags, and switches that a word may follow.
class ArgumentTranslator {
 public:
  ArgumentTranslator(const CLI::App& app, const std::vector<std::string>& arguments) : app_(app), arguments_(arguments) {}

  OwnArguments translate() {
    while (next_ < arguments_.size()) {
      const std::string& argument = arguments_[next_++];
      const bool is_flag =
          argument.size() > 1 && argument.starts_with('-') && std::isdigit(argument[1]) == 0 && argument[1] != '.';
      if (is_flag) {
        add_flag(WrittenFlag(argument));
      } else {
        own_.words.push_back(argument);
      }
    }
    return std::move(own_);
  }

 private:
  [[nodiscard]] const CLI::Option* find(std::string_view flag) const { return app_.get_option_no_throw(std::string(flag)); }

  void add_flag(const WrittenFlag& flag) {
    if (find(flag.name) != nullptr) return add_own(flag.name, flag);
    if (const FlagName* known = find_flag_name(flag.name)) {
      if (known->known.empty()) throw user_error("{}: no such flag here; {}", flag.name, known->hint);
      if (find(known->known) != nullptr) return add_own(std::string(known->known), flag);
    }
    const ForeignName* foreign = flag.name.starts_with("--") ? find_foreign_name(flag.name.substr(2)) : nullptr;
    if (foreign == nullptr || foreign->kind == ForeignName::Kind::kHint) throw unknown_flag(app_, flag.name);
    const std::string own = "--" + std::string(foreign->key);
    if (!foreign->key.empty() && find(own) == nullptr) throw unknown_flag(app_, flag.name);
    if (foreign->kind == ForeignName::Kind::kSame) return add_own(own, flag);
    std::optional<std::string> word;
    if (!flag.rest.empty()) word = flag.rest.substr(1);
    if (!word && next_ < arguments_.size() && takes_word(*foreign, arguments_[next_])) word = arguments_[next_++];
    const ForeignMeaning meaning = meaning_of(*foreign, flag.name, word);
    if (meaning.key.empty()) {
      own_.notes.push_back(meaning.note);
    } else {
      own_.words.push_back(own + "=" + meaning.value);
    }
  }

  void add_own(const std::string& name, const WrittenFlag& flag) {
    const bool is_last = next_ == arguments_.size();
    if (find(name)->get_expected_max() != 0) {
      const CLI::Option& option = *find(name);
      if (!flag.rest.empty()) {
        return own_.words.push_back(name + "=" + checked_value(app_, option, name, flag.rest.substr(1)));
      }
      // A value is a value, whatever it looks like; but not the next flag.
      if (is_last || arguments_[next_].starts_with("--")) {
        throw user_error("{}: its value is missing; write {} VALUE, or {}=VALUE for a value that begins with \"--\"", flag.name,
                         name, name);
      }
      own_.words.push_back(name);
      own_.words.push_back(checked_value(app_, option, name, arguments_[next_++]));
      return;
    }
    std::optional<bool> on = flag.rest.empty() ? true : parse_switch(flag.rest.substr(1));
    if (!on) throw user_error("{} is \"{}\", but takes true or false", name, flag.rest.substr(1, 100));
    if (flag.rest.empty() && !is_last && parse_switch(arguments_[next_])) on = parse_switch(arguments_[next_++]);
    if (*on) own_.words.push_back(name);
  }

  const CLI::App& app_;
  const std::vector<std::string>& arguments_;
  std::size_t next_ = 0;
  OwnArguments own_;
};

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
  if (std::ranges::find(arguments, "--version") != arguments.end()) {
    fmt::print("{}", program_version(app.get_name()));
    throw HelpShown();
  }
  std::vector<const CLI::Option*> required;
  for (CLI::Option* option : app.get_options({})) {
    // A flag given twice counts the last time, as train takes it.
    const bool throws = option->get_multi_option_policy() == CLI::MultiOptionPolicy::Throw;
    if (throws && option->get_items_expected_max() == 1) option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    if (option->get_required()) required.push_back(option);
    option->required(false);  // check_given says it better
  }
  OwnArguments own;
  try {
    own = ArgumentTranslator(app, arguments).translate();
    std::ranges::reverse(own.words);  // as CLI11 wants them
    app.parse(own.words);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    throw HelpShown();
  } catch (const CLI::ExtrasError&) {
    throw user_error("unexpected argument \"{}\"; values follow a flag ({} --help lists all)",
                     app.remaining().empty() ? "" : app.remaining().front().substr(0, 100), app.get_name());
  } catch (const CLI::ConversionError& error) {
    throw conversion_error(app, error.what());
  } catch (const CLI::ParseError& error) {
    throw user_error("{} ({} --help lists all flags)", error.what(), app.get_name());
  }
  check_given(required, example);
  tell_notes(own.notes, log);
}

}  // namespace virgil
