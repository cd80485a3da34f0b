#include "virgil/train/step_under_way.h"

#include <algorithm>
#include <cstdint>

namespace virgil {

namespace {

/// Work that should take one unit of time, after `time` units: what takes longer than expected slows down before its end, and
/// never reaches it.
double part_done(double time) {
  constexpr double kAsExpected = 0.9;
  constexpr double kRest = 1 - kAsExpected;
  return time <= kAsExpected ? time : 1 - kRest * kRest / (time - kAsExpected + kRest);
}

}  // namespace

void StepClock::update(const StepUnderWay& step, double now_s) {
  const bool begins = step.step != step_.step || step.done < step_.done;
  if (begins) start_s_ = now_s;
  if (begins || step.done > step_.done) done_s_ = now_s;
  step_ = step;
}

double StepClock::share(double now_s) const {
  constexpr double kBelowOne = 0.999;
  const auto micro_steps = static_cast<double>(std::max<std::int64_t>(1, step_.micro_steps));
  const auto done = static_cast<double>(step_.done);
  // Micro-steps of this very step tell more than the steps before it.
  const double micro_step_s = done > 0 ? (done_s_ - start_s_) / done : step_.expected_s / micro_steps;
  const auto open = static_cast<double>(step_.begun - step_.done);
  double begun_done = 0;
  if (open > 0 && micro_step_s > 0) begun_done = open * part_done((now_s - done_s_) / (micro_step_s * open));
  return std::clamp((done + begun_done) / micro_steps, 0.0, kBelowOne);
}

std::int64_t StepClock::micro_step(double now_s) const {
  const auto micro_steps = static_cast<double>(step_.micro_steps);
  return std::min(step_.begun, 1 + static_cast<std::int64_t>(share(now_s) * micro_steps));
}

double StepClock::remaining_s(double now_s) const { return std::max(0.0, step_.remaining_s - elapsed_s(now_s)); }

}  // namespace virgil
