#include "train/resumed_schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "virgil/optim/lr_schedule.h"
#include "virgil/train/schedule_config.h"

namespace virgil {
namespace {

constexpr std::string_view kConstant = "constant";

bool is_flag(const CommandLine& flags, std::string_view key) {
  return std::ranges::find(flags.set_keys, key) != flags.set_keys.end();
}

bool has_ended(const TrainConfig& config, std::int64_t step) {
  return config.lr_schedule != kConstant && config.lr_decay_iters <= step;
}

bool differ(double a, double b) { return std::abs(a - b) > 0.01 * std::max(a, b); }

}  // namespace

void keep_planned_schedule(TrainConfig& config, const TrainConfig& planned, std::int64_t step, const CommandLine& flags) {
  if (is_flag(flags, "lr_decay_iters")) return;
  if (!is_flag(flags, "warmup_iters")) config.warmup_iters = planned.warmup_iters;
  const bool is_new_plan = is_flag(flags, "learning_rate") || is_flag(flags, "lr_schedule") || planned.lr_schedule == kConstant;
  config.lr_decay_iters = is_new_plan && planned.lr_decay_iters <= step ? config.max_iters : planned.lr_decay_iters;
}

std::optional<ResumedRate> describe_resumed_rate(const TrainConfig& config, const TrainConfig& planned, std::int64_t step) {
  if (step == 0) return std::nullopt;
  const LrSchedule schedule = lr_schedule_of(config);
  const double last = lr_schedule_of(planned).at(step - 1);
  const double expected = lr_schedule_of(planned).at(step);
  const double now = schedule.at(step);
  if (differ(now, expected)) {
    const bool is_jump = now > 1.2 * last;
    const std::string factor =
        is_jump ? fmt::format(", {:.3g} times as much: the loss will rise before it falls", now / last) : "";
    return ResumedRate{
        fmt::format("the learning rate continues at {:.3g} after {:.3g}{} (learning_rate {:.3g}, lr_schedule {}, "
                    "lr_decay_iters {})",
                    now, last, factor, config.learning_rate, config.lr_schedule, config.lr_decay_iters),
        is_jump};
  }
  if (config.max_iters == planned.max_iters) return std::nullopt;
  if (has_ended(config, step)) {
    TrainConfig anew = config;
    anew.lr_decay_iters = config.max_iters;
    return ResumedRate{
        fmt::format("the decay of the learning rate has ended at step {}, and training continues at its last rate, {:.3g}; "
                    "--lr_decay_iters {} would decay anew, from {:.3g}",
                    config.lr_decay_iters, now, config.max_iters, lr_schedule_of(anew).at(step))};
  }
  if (config.lr_schedule == kConstant || config.lr_decay_iters == config.max_iters) return std::nullopt;
  const bool ends_before = config.lr_decay_iters < config.max_iters;
  return ResumedRate{
      fmt::format("the learning rate decays until step {}, as the run was planned, and {}; --lr_decay_iters {} makes "
                  "the two one",
                  config.lr_decay_iters,
                  ends_before ? fmt::format("training continues at {:.3g}", config.min_lr)
                              : fmt::format("training ends at {:.3g}", schedule.at(config.max_iters - 1)),
                  config.max_iters)};
}

std::string describe_further_rate(const TrainConfig& planned, std::int64_t step, std::int64_t max_iters) {
  if (!has_ended(planned, step)) return {};
  return fmt::format("at the last learning rate, {:.3g}; with --lr_decay_iters {} it decays anew",
                     lr_schedule_of(planned).at(step), max_iters);
}

}  // namespace virgil
