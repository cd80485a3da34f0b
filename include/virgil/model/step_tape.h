// The calls of GPT-2's training step, evaluation and generation, and where their activations lie.
//
// Radford et al. 2019, "Language Models are Unsupervised Multitask Learners": pre-layernorm blocks, learned positions, GELU
// MLP.
#pragma once

#include <cstdint>
#include <memory>

#include "virgil/model/architecture.h"
#include "virgil/model/arena_layout.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/model/sharding.h"
#include "virgil/model/step_shape.h"
#include "virgil/model/tape.h"

namespace virgil {

/// Calls and the places of their activations, which tapes may share.
struct PlacedTape {
  Tape tape;
  std::shared_ptr<const ArenaLayout> arena;
};

/// The classifier's chunks are alike but for the last: those of one size need the same scratch, no activation more, and may be
/// recorded once, with Tape::repeats.
enum class LogitsChunks : std::uint8_t { kAll, kOneOfEachSize };

/// One micro-step over (B, T) tokens in PlanSlot::kInputs: losses and their sum, and with `training` gradients, which are added
/// to. The logits of `logits_rows` rows exist at one time. What differs from run to run (the place in the random numbers,
/// grad_scale) is left at its default.
[[nodiscard]] Tape record_step(const Architecture& model, const StepShape& step, bool training,
                               const ParameterLayout& parameters, const GradientLayout& gradients, std::int64_t logits_rows,
                               LogitsChunks chunks = LogitsChunks::kAll);

}  // namespace virgil
