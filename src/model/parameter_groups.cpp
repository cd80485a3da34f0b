#include "virgil/model/parameter_groups.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/nearest_name.h"

namespace virgil {

namespace {

/// What names look like: the one that was meant, or the first of each kind.
std::string example_names(std::string_view pattern, std::span<const GroupedParameter> parameters) {
  std::vector<std::string> names;
  for (const GroupedParameter& parameter : parameters) names.emplace_back(parameter.name);
  const std::string near = nearest_name(pattern, names);
  if (!near.empty()) return fmt::format("did you mean {}?", near);
  constexpr std::size_t kMost = 6;
  if (names.size() > kMost) names.resize(kMost);
  return fmt::format("names look like {}", fmt::join(names, ", "));
}

void check_factors(const ParameterGroup& group) {
  const auto is_factor = [](double value) { return std::isfinite(value) && value >= 0; };
  if (is_factor(group.weight_decay_factor) && is_factor(group.learning_rate_factor)) return;
  throw user_error("the parameter group {} has a weight decay factor of {} and a learning rate factor of {}: give 0 or more",
                   quoted_excerpt(group.name), group.weight_decay_factor, group.learning_rate_factor);
}

bool takes_kind(const ParameterGroup& group, BucketKind kind) {
  return group.kinds.empty() || std::ranges::find(group.kinds, kind) != group.kinds.end();
}

/// Embeddings and the head are looked up row by row, and vectors have no singular values: they stay with AdamW.
std::vector<ParameterGroup> groups_by_matrices(OptimizerKind kind, const StorageType& state_storage) {
  const OptimizerTraits adamw = traits_of(OptimizerKind::kAdamW, state_storage);
  return {{.name = "matrices", .kinds = {BucketKind::kLayer}, .optimizer = traits_of(kind)},
          {.name = "embeddings", .kinds = {BucketKind::kEmbeddings, BucketKind::kHead}, .optimizer = adamw},
          {.name = "vectors", .kinds = {BucketKind::kVectors}, .optimizer = adamw, .weight_decay_factor = 0}};
}

}  // namespace

std::vector<ParameterGroup> default_groups(OptimizerKind kind, const StorageType& state_storage) {
  if (updates_matrices_only(kind)) return groups_by_matrices(kind, state_storage);
  const OptimizerTraits optimizer = traits_of(kind, state_storage);
  return {
      {.name = "matrices", .kinds = {BucketKind::kEmbeddings, BucketKind::kLayer, BucketKind::kHead}, .optimizer = optimizer},
      {.name = "vectors", .kinds = {BucketKind::kVectors}, .optimizer = optimizer, .weight_decay_factor = 0}};
}

/// Goes back to the last `*` alone: time is the product of the lengths at most.
bool matches_pattern(std::string_view pattern, std::string_view name) {
  std::size_t p = 0;
  std::size_t n = 0;
  std::size_t star = std::string_view::npos;
  std::size_t star_n = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      if (p + 1 == pattern.size()) return true;
      star = p++;
      star_n = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++star_n;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

bool takes(const ParameterGroup& group, const GroupedParameter& parameter) {
  return takes_kind(group, parameter.kind) && std::ranges::any_of(group.patterns, [&](const std::string& pattern) {
           return matches_pattern(pattern, parameter.name);
         });
}

void check_patterns(std::span<const GroupedParameter> parameters, const ParameterGroup& group) {
  for (const std::string& pattern : group.patterns) {
    const bool matches =
        std::ranges::any_of(parameters, [&](const auto& parameter) { return matches_pattern(pattern, parameter.name); });
    if (matches) continue;
    throw user_error("the pattern {} of the parameter group {} matches no parameter: {}", quoted_excerpt(pattern),
                     quoted_excerpt(group.name), example_names(pattern, parameters));
  }
}

std::vector<std::size_t> assign_groups(std::span<const GroupedParameter> parameters, std::span<const ParameterGroup> groups) {
  std::vector<std::size_t> taken_by;
  std::vector<bool> takes_any(groups.size());
  for (const ParameterGroup& group : groups) {
    check_factors(group);
    check_patterns(parameters, group);
  }
  for (const GroupedParameter& parameter : parameters) {
    const auto found = std::ranges::find_if(groups, [&](const ParameterGroup& group) { return takes(group, parameter); });
    if (found == groups.end()) {
      throw user_error("no parameter group takes {}: end with a group of the pattern \"*\"", parameter.name);
    }
    taken_by.push_back(static_cast<std::size_t>(found - groups.begin()));
    takes_any[taken_by.back()] = true;
  }
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const bool takes_the_rest = std::ranges::find(groups[i].patterns, "*") != groups[i].patterns.end();
    if (takes_any[i] || takes_the_rest) continue;
    throw user_error(
        "the parameter group {} ({}) takes nothing: groups before it take all that it matches; put it before them or leave it "
        "out",
        quoted_excerpt(groups[i].name), fmt::join(groups[i].patterns, ", "));
  }
  return taken_by;
}

}  // namespace virgil
