// Command lines of the tools: flags of their own, and for the rest every configuration key, as train takes them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/config/config_schema.h"

namespace virgil {

/// A flag of a tool.
struct ToolFlag {
  enum class Takes : std::uint8_t { kNothing, kValue, kOptionalValue, kTwoValues };
  std::string name;  // without dashes, with underscores
  Takes takes = Takes::kNothing;
  std::string values;  // for --help: "FILE", "NAME"
  std::string help;
};

/// Arguments split into a tool's own flags and the others, which stay in order.
class ToolArguments {
 public:
  /// "--name value", "--name=value"; '-' and '_' alike; a flag given twice counts the last time. Throws UserError for a missing
  /// value or one that nothing takes.
  ToolArguments(std::span<const std::string> arguments, std::span<const ToolFlag> flags);

  [[nodiscard]] bool has(std::string_view name) const { return values_.contains(std::string(name)); }
  /// The flag's value; empty when it was given without one; nothing when it was not given.
  [[nodiscard]] std::optional<std::string> value(std::string_view name) const;
  /// Both values of a kTwoValues flag that was given.
  [[nodiscard]] const std::vector<std::string>& values(std::string_view name) const { return values_.at(std::string(name)); }
  /// Throws UserError when the value is not a positive number.
  [[nodiscard]] std::optional<double> positive_number(std::string_view name) const;
  /// Throws UserError when the value is not a whole number of at least 1.
  [[nodiscard]] std::optional<std::int64_t> positive_integer(std::string_view name) const;
  [[nodiscard]] const std::vector<std::string>& others() const { return others_; }

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  std::vector<std::string> others_;
};

/// The lines of --help for a tool's own flags.
[[nodiscard]] std::string describe_flags(std::span<const ToolFlag> flags);

/// parse_train_command_line, whose message for an unknown flag also considers the tool's own.
[[nodiscard]] CommandLine parse_config_flags(const ToolArguments& arguments, std::span<const ToolFlag> flags,
                                             std::string_view program, WordsMean words_mean = WordsMean::kOther);

}  // namespace virgil
