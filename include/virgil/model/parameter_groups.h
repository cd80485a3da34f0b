// Which optimizer a parameter has, and with what weight decay and learning rate: groups of parameters by the patterns of their
// names, the first that matches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/model/optimizer_traits.h"

namespace virgil {

/// What a parameter is to the model. Also: those of one kind (and layer) have their gradients complete at the same time in the
/// backward pass, and are reduced together.
enum class BucketKind : std::uint8_t {
  kEmbeddings,  // wte and wpe: after the embedding's backward, at the very end
  kLayer,       // the matrices of one block: after the block's backward
  kHead,        // an lm_head of its own: after the classifier
  kVectors,     // all biases and norms: at the very end, since they are small
};

/// Takes the parameters whose name matches one of `patterns` and whose kind is one of `kinds`, unless a group before it does.
struct ParameterGroup {
  std::string name;                           // for messages: "matrices"
  std::vector<std::string> patterns = {"*"};  // `*` stands for any characters, dots too; `?` for one
  std::vector<BucketKind> kinds = {};         // empty: all
  OptimizerTraits optimizer = traits_of(OptimizerKind::kAdamW);
  double weight_decay_factor = 1;   // of the run's weight decay
  double learning_rate_factor = 1;  // of the schedule's learning rate

  [[nodiscard]] bool decays() const { return weight_decay_factor != 0; }
};

/// Matrices and embeddings decay, vectors do not. AdamW is for all of them, Muon and its kin for the matrices of blocks, with
/// AdamW for the rest. `state_storage` is AdamW's.
[[nodiscard]] std::vector<ParameterGroup> default_groups(OptimizerKind kind = OptimizerKind::kAdamW,
                                                         const StorageType& state_storage = DType::kFloat32);

/// Whether the whole of `name` is matched.
[[nodiscard]] bool matches_pattern(std::string_view pattern, std::string_view name);

/// A parameter, as far as groups look at it.
struct GroupedParameter {
  std::string_view name;
  BucketKind kind = BucketKind::kLayer;
};
/// Whether the group matches it, whatever other groups do.
[[nodiscard]] bool takes(const ParameterGroup& group, const GroupedParameter& parameter);
/// Throws UserError where a pattern of the group matches nothing.
void check_patterns(std::span<const GroupedParameter> parameters, const ParameterGroup& group);
/// The group of each parameter, as an index. Throws UserError where a pattern matches nothing, a parameter has no group, or all
/// that a group matches is taken by those before it (but for "*").
[[nodiscard]] std::vector<std::size_t> assign_groups(std::span<const GroupedParameter> parameters,
                                                     std::span<const ParameterGroup> groups);

}  // namespace virgil
