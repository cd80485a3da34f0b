// How long a run takes: what its parts took, and how many of them are to come.
#pragma once

#include <cstdint>
#include <string>

#include "virgil/config/train_config.h"

namespace virgil {

/// Seconds that the parts of a run take; 0: not known, or there are none.
struct RunPace {
  double step_s = 0;
  double evaluation_s = 0;
  double sample_s = 0;
};

/// Seconds that are to come.
struct RunTime {
  double steps_s = 0;
  double evaluations_s = 0;
  double samples_s = 0;

  [[nodiscard]] double total_s() const { return steps_s + evaluations_s + samples_s; }
};

/// From the top of step `first_step` on to the end of a resolved config's run.
[[nodiscard]] RunTime predict_run_time(const TrainConfig& config, std::int64_t first_step, const RunPace& pace);

/// "about 3 days, of which evaluations 12 %, samples 3 %". What takes less than a percent is not named.
[[nodiscard]] std::string describe_run_time(const RunTime& time);

}  // namespace virgil
