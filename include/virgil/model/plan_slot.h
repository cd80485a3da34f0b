// The allocations of a run.
#pragma once

#include <cstddef>
#include <cstdint>

namespace virgil {

/// The allocations of a run. Each is one call to MemoryResource::allocate.
enum class PlanSlot : std::uint8_t {
  kWeights,        // flat parameters in the plan's dtype: what the passes read
  kMasterWeights,  // float32, same offsets, or a rank's part: what the optimizer updates beside 16-bit weights that have a copy
  kGradients,      // float32, as GradientLayout says: same offsets, or a window
  kGradientPart,   // float32: a rank's part of the gradients; only where kGradients is a window
  kActivations,    // arena: of a training step and, when no step runs, of generation
  kLogits,         // (logits_rows, Vp): one chunk of the classifier
  kLosses,         // (B * T) float32
  kWorkspace,      // scratch of the ops
  kScalars,        // results of reductions: one float32 for each PlanScalar, then a sum of losses for each micro-step
  kPartNorms,      // (processes, buckets) float32: norms of the gradients' parts; only with several processes
  kStaging,        // what collectives pack their messages in; only with several processes
  kInputs,         // (B, T) int32
  kTargets,        // what the loss compares with, as place_targets() says
  kOptimizerState,  // the first of those that state_slot() names: each a run of the flat parameters, or a rank's part of it
};
/// Of the plan's optimizer state number `state`.
[[nodiscard]] constexpr PlanSlot state_slot(std::size_t state) {
  return static_cast<PlanSlot>(static_cast<std::size_t>(PlanSlot::kOptimizerState) + state);
}

/// Results of reductions, one float32 each, in PlanSlot::kScalars.
enum class PlanScalar : std::uint8_t { kLossSum, kGradientNorm };  // kLossSum: of the last pass
inline constexpr std::int64_t kNumPlanScalars = 2;
/// In bytes of the slot.
[[nodiscard]] constexpr std::int64_t offset_of(PlanScalar scalar) { return 4 * static_cast<std::int64_t>(scalar); }

}  // namespace virgil
