// A step, call by call: what calc_params --calls prints.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "virgil/backend/backend.h"
#include "virgil/model/memory_plan.h"

namespace virgil {

/// Every call of a micro-step of training: what it costs, the scratch that it is given, its operands with their shapes, and
/// where in the arena results lie. Throws InternalError for a plan without training.
[[nodiscard]] std::string describe_calls(const MemoryPlan& plan, const BackendTraits& traits);
/// The same with all numbers: "calls" in their order, and "tensors" by number.
[[nodiscard]] nlohmann::ordered_json calls_json(const MemoryPlan& plan, const BackendTraits& traits);

}  // namespace virgil
