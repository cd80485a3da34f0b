// What bench --to_loss says.
#pragma once

#include <string>
#include <vector>

#include "bench/loss_race.h"

namespace virgil::bench {

/// A table: a line for each entrant, with its ratio to the first. `machine`: on what they ran.
[[nodiscard]] std::string text_report(const LossRace& race, const std::vector<std::vector<RaceRun>>& runs,
                                      const std::string& machine);
[[nodiscard]] std::string json_report(const LossRace& race, const std::vector<std::vector<RaceRun>>& runs,
                                      const std::string& machine);

}  // namespace virgil::bench
