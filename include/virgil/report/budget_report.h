// What calc_params says of a budget of time.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "virgil/report/budget_plan.h"

namespace virgil {

/// The text, the models around the best one as a table, the loss to expect and how sure that is, and the command of the best.
/// `rate_source` says where the rate comes from.
[[nodiscard]] std::string describe_budget(const BudgetQuestion& question, const std::vector<BudgetRun>& runs,
                                          const std::string& rate_source);
/// {text, budget_seconds, machine, processes, rate_source, runs, best}; best is the place of a run.
[[nodiscard]] nlohmann::ordered_json budget_json(const BudgetQuestion& question, const std::vector<BudgetRun>& runs,
                                                 const std::string& rate_source);

}  // namespace virgil
