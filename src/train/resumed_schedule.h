// The learning rate of a run that goes on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "virgil/config/config_schema.h"

namespace virgil {

/// A run that goes on keeps the schedule it was planned with (`planned`: the checkpoint's resolved config, at `step`), also
/// where max_iters has grown: a decay that has ended is not begun again, for its rate would jump. Flags say otherwise:
/// lr_decay_iters, or, where the decay has ended, another learning_rate or lr_schedule, which decays anew until max_iters.
/// `config` is resolved, with the run's max_iters.
void keep_planned_schedule(TrainConfig& config, const TrainConfig& planned, std::int64_t step, const CommandLine& flags);

struct ResumedRate {
  std::string text;      // one line with the rates
  bool is_jump = false;  // the rate rises: to be told as a warning
};
/// What is to be told of the learning rate at `step`; nothing where the run goes on as it was planned.
[[nodiscard]] std::optional<ResumedRate> describe_resumed_rate(const TrainConfig& config, const TrainConfig& planned,
                                                               std::int64_t step);

/// For a finished run: what more steps are trained with, and how to decay anew until `max_iters`. Empty where the rate is
/// constant.
[[nodiscard]] std::string describe_further_rate(const TrainConfig& planned, std::int64_t step, std::int64_t max_iters);

}  // namespace virgil
