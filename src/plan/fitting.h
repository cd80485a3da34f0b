// What the solver's parts share.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "virgil/plan/training_plan.h"

namespace virgil {

/// Bytes of the plan; where they exceed `limit_bytes` perhaps without the ops' scratch; nothing when a size is invalid or
/// overflows.
[[nodiscard]] std::optional<std::int64_t> planned_bytes(const TrainingShape& shape, std::int64_t limit_bytes,
                                                        const BackendTraits& traits);
[[nodiscard]] bool fits(const TrainingShape& shape, std::int64_t limit_bytes, const BackendTraits& traits);

/// All of them, ascending.
[[nodiscard]] std::vector<std::int64_t> divisors_of(std::int64_t number);

}  // namespace virgil
