// What a training step is asked to do: its batch, its types, and what it makes again instead of storing.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "virgil/base/dtype.h"
#include "virgil/base/storage_type.h"
#include "virgil/model/optimizer_traits.h"

namespace virgil {

/// What the backward pass recomputes instead of storing (gradient checkpointing). Each level includes the one before; all give
/// the same bits.
enum class Recompute : std::uint8_t {
  kNone,
  kGelu,   // the MLP's GELU output
  kNorm,   // and the layernorm outputs
  kBlock,  // everything inside a block; only each block's input is stored
};
inline constexpr std::array<Recompute, 4> kAllRecompute = {Recompute::kNone, Recompute::kGelu, Recompute::kNorm,
                                                           Recompute::kBlock};
[[nodiscard]] std::string_view name_of(Recompute recompute);
/// none | gelu | norm | block; throws UserError on anything else.
[[nodiscard]] Recompute parse_recompute(std::string_view name);

/// What a model is trained to do.
enum class ObjectiveKind : std::uint8_t { kNextToken };

/// Batch shape and policy of a training step.
struct StepShape {
  std::int64_t batch_size = 0;    // B
  std::int64_t length = 0;        // T
  bool training = true;           // false: forward only, no gradients
  DType dtype = DType::kFloat32;  // of weights and activations
  bool master_weights = true;     // a float32 copy beside 16-bit weights in training; false: bfloat16 alone
  OptimizerKind optimizer = OptimizerKind::kAdamW;
  StorageType optimizer_state_dtype = DType::kFloat32;  // of kStateStorages
  Recompute recompute = Recompute::kNone;
  ObjectiveKind objective = ObjectiveKind::kNextToken;
  std::int64_t micro_steps = 1;   // of an update: each leaves its sum of losses
  std::int64_t logits_chunk = 0;  // most tokens whose logits exist at one time; 0: as the backend wants
  bool share_arena = true;        // false: every activation keeps bytes of its own, to test that sharing changes nothing
};

}  // namespace virgil
