// What an optimizer keeps for each parameter, and how processes may divide it: all that plans, checkpoints and reports know of
// one. How it updates is a rule in optim/.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "virgil/base/storage_type.h"

namespace virgil {

enum class OptimizerKind : std::uint8_t { kAdamW, kMuon, kNorMuon };
inline constexpr std::array kAllOptimizers = {OptimizerKind::kAdamW, OptimizerKind::kMuon, OptimizerKind::kNorMuon};
/// "adamw", "muon", "normuon".
[[nodiscard]] std::string_view name_of(OptimizerKind kind);
/// Throws InternalError for a name that no optimizer has.
[[nodiscard]] OptimizerKind parse_optimizer(std::string_view name);

/// What may lie in two processes' parts.
enum class ShardRule : std::uint8_t {
  kElements,      // elements of one tensor: the update of each depends on nothing but its own gradient and state
  kWholeTensors,  // nothing: each tensor is updated as a whole by the process that holds it
};

/// What a state has one number for.
enum class StatePer : std::uint8_t {
  kElement,  // of the parameter
  kNeuron,   // each output of a matrix of a block: ParameterSpec::num_neurons(). Only of an optimizer of whole tensors
};

/// A number for each element or neuron of a parameter, or a block for each block of them. The block divides
/// ParameterLayout::kAlignment.
struct OptimizerState {
  std::string_view name;  // "m": a checkpoint has it as "m.<parameter>"
  StorageType storage;
  StatePer per = StatePer::kElement;
  friend bool operator==(const OptimizerState&, const OptimizerState&) = default;
};

struct OptimizerTraits {
  OptimizerKind kind = OptimizerKind::kAdamW;
  ShardRule shard_rule = ShardRule::kElements;
  std::vector<OptimizerState> states;
  friend bool operator==(const OptimizerTraits&, const OptimizerTraits&) = default;
};

/// How states can be kept, as optimizer_state_dtype names it.
inline constexpr std::array<StorageType, 2> kStateStorages = {DType::kFloat32, DType::kBFloat16};

/// Whether it updates nothing but matrices of blocks, in float32: Muon and its kin.
[[nodiscard]] bool updates_matrices_only(OptimizerKind kind);

/// The one table of optimizers. `storage`: of those states that may be kept in several ways.
[[nodiscard]] OptimizerTraits traits_of(OptimizerKind kind, const StorageType& storage = DType::kFloat32);

/// As many states as a plan has room for, of all its optimizers together.
inline constexpr std::size_t kMaxOptimizerStates = 8;

}  // namespace virgil
