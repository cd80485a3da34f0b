// Which parameter is at fault for a step that is not finite.
#pragma once

#include <cstdint>
#include <string>

#include "virgil/backend/backend.h"
#include "virgil/model/memory_plan.h"

namespace virgil {

/// Name of a parameter whose gradient holds a NaN or an infinity in what rank `rank` has of its sum, or an empty string. Reads
/// the gradients once, tensor by tensor.
[[nodiscard]] std::string find_non_finite_gradient(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory,
                                                   std::int64_t rank = 0);
/// The same for the parameters themselves.
[[nodiscard]] std::string find_non_finite_weight(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory,
                                                 std::int64_t rank = 0);

}  // namespace virgil
