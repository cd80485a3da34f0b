// Reports as JSON. The names are stable: docs/parameters.md.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "virgil/report/fit_report.h"
#include "virgil/report/model_report.h"
#include "virgil/report/subject.h"
#include "virgil/train/memory_summary.h"

namespace virgil {

/// {total_bytes, by_category}.
[[nodiscard]] nlohmann::ordered_json plan_json(const MemoryPlan& plan);
/// The same with what it is the plan of. Requires planned.plan.
[[nodiscard]] nlohmann::ordered_json training_plan_json(const PlannedSubject& planned);
/// All that calc_params says of a model; `tensors` adds the list of tensors.
[[nodiscard]] nlohmann::ordered_json model_json(const Subject& subject, const PlannedSubject& planned, const Rate& rate,
                                                bool tensors, const GpuModel* gpu = nullptr);

/// Every line of --show_formula.
[[nodiscard]] nlohmann::ordered_json formulas_json(const Subject& subject, const PlannedSubject& planned);
/// {verdict, limit_bytes, limit_source, planned_bytes} and, where it does not fit, remedies. Of a model that Virgil does not
/// train: {verdict: "no", why, limit_bytes, limit_source, inference}.
[[nodiscard]] nlohmann::ordered_json fit_json(const Subject& subject, const PlannedSubject& planned);
/// A list of {batch_size, recompute, planned_bytes, verdict}.
[[nodiscard]] nlohmann::ordered_json matrix_json(const PlannedSubject& planned);
/// {solve, limit_bytes, changes, planned_bytes}; changes is null where nothing fits.
[[nodiscard]] nlohmann::ordered_json solve_json(SolveVariable variable, const PlannedSubject& planned,
                                                const SolveAnswer& answer);
/// Models near a number of parameters.
[[nodiscard]] nlohmann::ordered_json models_json(std::int64_t num_parameters, const Architecture& like);
/// {a, b, difference} of what model_json says of both.
[[nodiscard]] nlohmann::ordered_json compare_json(const Subject& a, const PlannedSubject& plan_a, const Subject& b,
                                                  const PlannedSubject& plan_b, const Rate& rate);
/// {planned, allocated, peak} by category and in all, and the process.
[[nodiscard]] nlohmann::ordered_json memory_json(const MemoryComparison& comparison);

}  // namespace virgil
