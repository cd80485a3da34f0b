// Times whole training steps on random tokens, and every op inside them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/op_timer.h"
#include "virgil/report/subject.h"

namespace virgil::bench {

struct StepResult {
  std::int64_t num_steps = 0;
  double ms = 0;  // median
  double tokens_per_s = 0;
  double model_gflops = 0;  // see model_flops_per_token
  std::map<std::string, double> by_family_ms;
  std::vector<OpTiming> ops;  // of a step
};

/// A model in memory, with its optimizer and random tokens. Weights are initialised, so values have training's sizes.
class StepBench {
 public:
  /// Throws UserError when the plan does not fit or the configuration cannot be trained.
  explicit StepBench(const Subject& subject);
  ~StepBench();
  StepBench(const StepBench&) = delete;
  StepBench& operator=(const StepBench&) = delete;

  [[nodiscard]] Backend& backend();
  [[nodiscard]] const MemoryPlan& plan() const;
  /// Tokens per second of a few steps, after one that is not counted.
  [[nodiscard]] StepResult time_steps(std::int64_t num_steps);
  /// As time_steps, and then as many steps again with every op timed.
  [[nodiscard]] StepResult time_steps_and_ops(std::int64_t num_steps);
  /// Ops of an evaluation pass and of generation that training has not; none of generation in a plan without.
  [[nodiscard]] std::vector<OpTiming> time_inference_ops();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace virgil::bench
