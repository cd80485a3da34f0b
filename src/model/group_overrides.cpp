#include "virgil/model/group_overrides.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <system_error>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/nearest_name.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/model/parameter_table.h"

namespace virgil {

namespace {

constexpr std::string_view kLearningRate = "lr_factor";
constexpr std::string_view kWeightDecay = "decay_factor";
constexpr std::string_view kOptimizer = "optimizer";
constexpr const char* kForm = "PATTERN[,PATTERN] [lr_factor=X] [decay_factor=X] [optimizer=NAME]";

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t begin = text.find_first_not_of(separators);
    if (begin == text.npos) return parts;
    text.remove_prefix(begin);
    const std::size_t end = std::min(text.find_first_of(separators), text.size());
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

std::string unknown_setting(std::string_view name) {
  for (const char* of_rate : {"lr", "learning_rate", "learning_rate_factor"}) {
    if (name == of_rate) return "a group has a share of learning_rate: lr_factor=0.5 halves it";
  }
  for (const char* of_decay : {"decay", "wd", "weight_decay", "weight_decay_factor"}) {
    if (name == of_decay) return "a group has a share of weight_decay: decay_factor=0 switches it off";
  }
  return fmt::format("{} is none of lr_factor, decay_factor and optimizer", quoted_excerpt(name));
}

/// Sets what "name=value" says; what is wrong with it, or empty.
std::string set(GroupOverride& group, std::string_view name, std::string_view value) {
  if (name == kOptimizer) {
    std::vector<std::string> names;
    for (const OptimizerKind kind : kAllOptimizers) {
      names.emplace_back(name_of(kind));
      if (value == name_of(kind)) group.optimizer = kind;
    }
    if (group.optimizer) return {};
    return fmt::format("{} is no optimizer: choose one of {}", quoted_excerpt(value), fmt::join(names, ", "));
  }
  if (name != kLearningRate && name != kWeightDecay) return unknown_setting(name);
  double factor = 0;
  const char* end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, factor);
  constexpr double kMost = 1000;
  if (error != std::errc() || stop != end || !(factor >= 0 && factor <= kMost)) {
    return fmt::format("{} is {}, but takes a number from 0 to {}", name, quoted_excerpt(value), kMost);
  }
  (name == kLearningRate ? group.learning_rate_factor : group.weight_decay_factor) = factor;
  return {};
}

/// Takes the line apart; what is wrong with it, or empty.
std::string read_line(std::string_view text, GroupOverride& group) {
  group.text = text;
  std::set<std::string_view> seen;
  for (const std::string_view word : split(text, " \t")) {
    const std::size_t equals = word.find('=');
    if (equals == word.npos) {
      for (const std::string_view pattern : split(word, ",")) group.patterns.emplace_back(pattern);
      continue;
    }
    const std::string_view name = word.substr(0, equals);
    if (const std::string problem = set(group, name, word.substr(equals + 1)); !problem.empty()) return problem;
    if (!seen.insert(name).second) return fmt::format("{} is given twice", name);
  }
  if (group.patterns.empty()) return fmt::format("it names no parameters: write {}", kForm);
  if (seen.empty()) return fmt::format("it says nothing of the parameters: write {}", kForm);
  return {};
}

/// A default group as an override changes it, once for each optimizer that its parameters then have.
std::vector<ParameterGroup> changed_groups(const ParameterGroup& before, const GroupOverride& given,
                                           const StorageType& state_storage) {
  ParameterGroup group = before;
  group.name = given.text;
  group.patterns = given.patterns;
  group.learning_rate_factor *= given.learning_rate_factor;
  group.weight_decay_factor *= given.weight_decay_factor;
  if (!given.optimizer) return {group};
  ParameterGroup updated = group;
  updated.optimizer = traits_of(*given.optimizer, state_storage);
  if (!updates_matrices_only(*given.optimizer)) return {updated};
  std::vector<ParameterGroup> groups;
  if (std::erase(group.kinds, BucketKind::kLayer) > 0) {
    updated.kinds = {BucketKind::kLayer};
    groups.push_back(updated);
  }
  if (!group.kinds.empty()) groups.push_back(group);  // none would stand for all
  return groups;
}

void check_matrices(std::span<const GroupedParameter> parameters, const GroupOverride& given) {
  for (const std::string& pattern : given.patterns) {
    const auto is_matrix = [&](const GroupedParameter& parameter) {
      return parameter.kind == BucketKind::kLayer && matches_pattern(pattern, parameter.name);
    };
    if (std::ranges::any_of(parameters, is_matrix)) continue;
    throw user_error("param_groups: {}: {} updates the matrices of blocks alone, and {} matches none; leave optimizer out",
                     quoted_excerpt(given.text), name_of(*given.optimizer), quoted_excerpt(pattern));
  }
}

}  // namespace

std::string group_override_problem(std::string_view text) {
  GroupOverride group;
  return read_line(text, group);
}

GroupOverride parse_group_override(std::string_view text) {
  GroupOverride group;
  const std::string problem = read_line(text, group);
  VIRGIL_CHECK(problem.empty(), "the parameter group {}: {}", quoted_excerpt(text), problem);
  return group;
}

std::vector<GroupOverride> parse_group_overrides(std::span<const std::string> lines) {
  std::vector<GroupOverride> groups;
  for (const std::string& line : lines) groups.push_back(parse_group_override(line));
  return groups;
}

std::vector<ParameterGroup> with_overrides(const Architecture& model, std::span<const GroupOverride> overrides,
                                           const std::vector<ParameterGroup>& defaults, const StorageType& state_storage) {
  if (overrides.empty()) return defaults;
  const std::vector<ParameterSpec> specs = list_parameters(model);
  std::vector<GroupedParameter> left;  // by no override yet
  for (const ParameterSpec& spec : specs) left.push_back({spec.name, bucket_kind(spec)});
  const std::vector<GroupedParameter> all = left;
  std::vector<ParameterGroup> groups;
  for (const GroupOverride& given : overrides) {
    check_patterns(all, {.name = given.text, .patterns = given.patterns});
    if (given.optimizer && updates_matrices_only(*given.optimizer)) check_matrices(all, given);
    bool takes_any = false, decays = false;
    for (const ParameterGroup& before : defaults) {
      for (const ParameterGroup& group : changed_groups(before, given, state_storage)) {
        const auto taken = std::erase_if(left, [&](const GroupedParameter& parameter) { return takes(group, parameter); });
        if (taken == 0) continue;
        takes_any = true;
        decays = decays || before.decays();
        groups.push_back(group);
      }
    }
    if (!takes_any) {
      throw user_error("param_groups: {} takes nothing: those before it take all that it matches; put it before them",
                       quoted_excerpt(given.text));
    }
    if (!decays && given.weight_decay_factor != 0 && given.weight_decay_factor != 1) {
      throw user_error("param_groups: {}: biases and norms have no weight decay to take a share of; leave decay_factor out",
                       quoted_excerpt(given.text));
    }
  }
  groups.insert(groups.end(), defaults.begin(), defaults.end());
  return groups;
}

}  // namespace virgil
