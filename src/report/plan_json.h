// Reports as JSON. The names are stable: docs/parameters.md.
#pragma once

#include <nlohmann/json.hpp>

#include "virgil/report/model_report.h"
#include "virgil/report/subject.h"

namespace virgil {

/// {total_bytes, by_category}.
[[nodiscard]] nlohmann::ordered_json plan_json(const MemoryPlan& plan);
/// The same with what it is the plan of. Requires planned.plan.
[[nodiscard]] nlohmann::ordered_json training_plan_json(const PlannedSubject& planned);
/// All that calc_params says of a model; `tensors` adds the list of tensors.
[[nodiscard]] nlohmann::ordered_json model_json(const Subject& subject, const PlannedSubject& planned, const Rate& rate,
                                                bool tensors);

}  // namespace virgil
