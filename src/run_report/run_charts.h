// Which charts a report shows.
#pragma once

#include <cstddef>
#include <vector>

#include "run_report/chart.h"
#include "run_report/series.h"
#include "virgil/run_report/run_history.h"

namespace virgil {

/// Losses of all runs: their smoothed training loss, the raw one behind it where there are few runs, validation, the best of
/// it, and where losses were not finite.
[[nodiscard]] Chart loss_chart(const std::vector<RunHistory>& runs, Abscissa abscissa);

/// Learning rate, gradient norm, tokens per second and loss scale of all runs; those of which there are values.
[[nodiscard]] std::vector<Chart> figure_charts(const std::vector<RunHistory>& runs, Abscissa abscissa);

/// The memory of one run by category, with the plan, and what the system counts. Empty where the run tells none.
[[nodiscard]] Chart memory_chart(const RunHistory& run, std::size_t num_runs, Abscissa abscissa);

}  // namespace virgil
