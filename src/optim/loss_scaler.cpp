#include "virgil/optim/loss_scaler.h"

#include <algorithm>
#include <cmath>

#include "virgil/base/error.h"

namespace virgil {

namespace {

bool is_power_of_two(double value) {
  int exponent = 0;
  return std::isfinite(value) && value > 0 && std::frexp(value, &exponent) == 0.5;
}

}  // namespace

LossScaler::LossScaler(const LossScalerOptions& options) : options_(options), state_{.scale = options.initial_scale} {
  VIRGIL_CHECK(is_power_of_two(options.initial_scale) && is_power_of_two(options.min_scale) &&
                   is_power_of_two(options.max_scale) && options.min_scale <= options.initial_scale &&
                   options.initial_scale <= options.max_scale && options.growth_interval >= 1,
               "scales {} from {} to {}, {} steps", options.initial_scale, options.min_scale, options.max_scale,
               options.growth_interval);
}

void LossScaler::update(bool finite) {
  if (!finite) {
    state_ = {.scale = std::max(state_.scale / 2, options_.min_scale)};
    return;
  }
  if (++state_.good_steps < options_.growth_interval) return;
  state_ = {.scale = std::min(state_.scale * 2, options_.max_scale)};
}

void LossScaler::restore(const LossScalerState& state) {
  const bool reachable = is_power_of_two(state.scale) && state.scale >= options_.min_scale &&
                         state.scale <= options_.max_scale && state.good_steps >= 0 &&
                         state.good_steps < options_.growth_interval;
  if (!reachable) {
    throw user_error("a loss scale of {} after {} good steps: expected a power of two from {} to {} and fewer than {} steps",
                     state.scale, state.good_steps, options_.min_scale, options_.max_scale, options_.growth_interval);
  }
  state_ = state;
}

}  // namespace virgil
