// The command lines of all programs, in one language: flags of their own and, where a program takes them, every configuration
// key as train does.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "virgil/config/config_schema.h"

namespace virgil {

/// A flag of a program's own.
struct ToolFlag {
  enum class Takes : std::uint8_t { kNothing, kValue, kOptionalValue, kTwoValues, kValues };
  std::string name;  // without dashes, with underscores
  Takes takes = Takes::kNothing;
  std::string values = {};  // for --help: "FILE", "NAME"
  std::string help = {};
};

/// Such a flag under the name that another program gives it.
struct FlagName {
  std::string_view name;   // as written, dashes included
  std::string_view known;  // the program's own, without dashes; empty: there is none
  std::string_view hint;   // then: what to do
};

/// What a program understands.
struct ProgramSyntax {
  std::string_view program;  // its name, for messages
  std::span<const ToolFlag> own = {};
  bool takes_keys = true;
  WordsMean words_mean = WordsMean::kOther;
  std::span<const FlagName> other_names = {};
};

/// A program's own flags, as given.
class ToolArguments {
 public:
  struct Given {
    std::string name;
    std::vector<std::string> values;  // none of a switch, which is on
  };

  void add(std::string_view name, std::vector<std::string> values) { given_.push_back({std::string(name), std::move(values)}); }
  /// As if it had not been given.
  void remove(std::string_view name);

  /// In the order they stand in.
  [[nodiscard]] const std::vector<Given>& given() const { return given_; }
  [[nodiscard]] bool has(std::string_view name) const { return find(name) != nullptr; }
  /// The flag's value, the last where it stands twice; empty when it was given without one; nothing when it was not given.
  [[nodiscard]] std::optional<std::string> value(std::string_view name) const;
  /// All values of a flag that was given.
  [[nodiscard]] const std::vector<std::string>& values(std::string_view name) const { return find(name)->values; }
  /// Throws UserError when the value is not a positive number.
  [[nodiscard]] std::optional<double> positive_number(std::string_view name) const;
  /// Throws UserError when the value is not a whole number of at least 1.
  [[nodiscard]] std::optional<std::int64_t> positive_integer(std::string_view name) const;

 private:
  [[nodiscard]] const Given* find(std::string_view name) const;
  std::vector<Given> given_;
};

struct ProgramLine {
  CommandLine line;
  ToolArguments own;
};

/// Parses "--name value", "--name=value", switches as "--name", "--name false" and "--no_name"; '-' and '_' alike; a flag given
/// twice counts the last time. Configuration keys, words, flags of other programs, --help and --version as
/// parse_train_command_line. Throws UserError.
[[nodiscard]] ProgramLine parse_program_line(std::span<const std::string> arguments, const ProgramSyntax& syntax);

/// What --help says of a flag: `head` ("--top_k N"), and `help` in a column beside it.
[[nodiscard]] std::string help_entry(const std::string& head, std::string_view help);
/// The lines of --help for a program's own flags.
[[nodiscard]] std::string describe_flags(std::span<const ToolFlag> flags);

}  // namespace virgil
