// How far a step has come that is being computed.
#pragma once

#include <cstdint>

namespace virgil {

/// What a trainer knows of the step that it computes.
struct StepUnderWay {
  std::int64_t step = 0;  // updates done before it
  std::int64_t max_steps = 0;
  std::int64_t micro_steps = 1;  // that it is made of
  std::int64_t begun = 0;        // of these, asked of the device
  std::int64_t done = 0;         // of these, known to be done; a device that works behind the host tells of none
  double expected_s = 0;         // that the whole step takes; 0: unknown
  double remaining_s = 0;        // from the step's start to the end of the run; 0: unknown
};

/// Follows a step by the clock. Where nothing tells what a device has done (a pass is one call of a library or one graph, and
/// may take a minute), the time that has gone by does, between what is known to be done and what has been asked for.
class StepClock {
 public:
  /// What is known of the step at `now_s`; of another one than before, that it begins.
  void update(const StepUnderWay& step, double now_s);

  [[nodiscard]] const StepUnderWay& step() const { return step_; }
  [[nodiscard]] double elapsed_s(double now_s) const { return now_s - start_s_; }
  /// The part of the step that is done, from 0 to below 1. Never falls as time goes on.
  [[nodiscard]] double share(double now_s) const;
  /// The micro-step that is being computed, from 1.
  [[nodiscard]] std::int64_t micro_step(double now_s) const;
  /// Seconds to the end of the run, at least 0; 0 where nobody knows.
  [[nodiscard]] double remaining_s(double now_s) const;

 private:
  StepUnderWay step_{.step = -1};
  double start_s_ = 0;
  double done_s_ = 0;  // when the last of step_.done was done
};

}  // namespace virgil
