// What a user says of some parameters over the default groups, one line each: param_groups in a config.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/model/architecture.h"
#include "virgil/model/parameter_groups.h"

namespace virgil {

/// "PATTERN[,PATTERN] [lr_factor=X] [decay_factor=X] [optimizer=NAME]", taken apart.
struct GroupOverride {
  std::string text;                   // as it was given, for messages
  std::vector<std::string> patterns;  // of names, as ParameterGroup's
  double learning_rate_factor = 1;
  double weight_decay_factor = 1;  // of what the parameter's default group has: 0 stays 0
  std::optional<OptimizerKind> optimizer = std::nullopt;
  friend bool operator==(const GroupOverride&, const GroupOverride&) = default;
};

/// What is wrong with such a line, or empty.
[[nodiscard]] std::string group_override_problem(std::string_view text);
/// Throws InternalError where group_override_problem() has something to say.
[[nodiscard]] GroupOverride parse_group_override(std::string_view text);
[[nodiscard]] std::vector<GroupOverride> parse_group_overrides(std::span<const std::string> lines);

/// `defaults`, and before them what `overrides` make of the parameters that they match: the first that matches counts, and what
/// it does not say stays the default group's. An optimizer of matrices alone takes the matrices of blocks among what it
/// matches. Throws UserError for a pattern that matches nothing, or no such matrix; for an override all of whose parameters
/// those before it take; and for a weight decay of parameters that do not decay.
[[nodiscard]] std::vector<ParameterGroup> with_overrides(const Architecture& model, std::span<const GroupOverride> overrides,
                                                         const std::vector<ParameterGroup>& defaults,
                                                         const StorageType& state_storage = DType::kFloat32);

}  // namespace virgil
