// Times whole training steps on random tokens, and every op inside them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/op_timer.h"
#include "bench/peak_rates.h"
#include "virgil/base/spread.h"
#include "virgil/report/subject.h"

namespace virgil::bench {

/// Steps, each in turns with slices of the peak.
struct StepResult {
  Spread ms;
  double tokens = 0;       // of a step
  double model_gflop = 0;  // of a step; see model_flops_per_token
  Spread peak_share;       // of the rate of matrix products beside each step
  std::map<std::string, double> by_family_ms = {};
  std::vector<OpTiming> ops = {};  // of a step, the update's among them
  [[nodiscard]] double tokens_per_s() const { return 1000 * tokens / ms.median; }
  [[nodiscard]] double model_gflops() const { return 1000 * model_gflop / ms.median; }
};

/// Tokens drawn one after the other, batch 1, in turns with slices of the peak.
struct GenerationResult {
  std::int64_t num_tokens = 0;
  double ms_per_token = 0;  // median
  double weight_bytes = 0;  // that each token reads once: all but the embeddings that are only looked up
  /// Of its time by that which reading the weights at the memory's rate takes. Weights that stay in a cache can make it more
  /// than 1.
  Spread floor_share;
  [[nodiscard]] double tokens_per_s() const { return 1000 / ms_per_token; }
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
  /// Milliseconds of each of a few steps, after one that is not counted.
  [[nodiscard]] std::vector<double> time_steps(std::int64_t num_steps);
  /// Of each step's tokens at these milliseconds.
  [[nodiscard]] double tokens_per_s(double step_ms) const;
  /// In each turn a step as `train` makes it, and one with every op timed.
  [[nodiscard]] StepResult time_steps_and_ops(std::int64_t num_turns);
  /// Ops of an evaluation pass and of generation that training has not; none of generation in a plan without.
  [[nodiscard]] std::vector<OpTiming> time_inference_ops();
  /// Greedy generation in the type of the plan's weights; nothing in a plan without samples.
  [[nodiscard]] std::optional<GenerationResult> time_generation();
  /// Bytes by which the process has grown since the plan was allocated, all of them resident once a step has run; on a device
  /// with memory of its own, by which its use has grown.
  [[nodiscard]] std::int64_t resident_growth_bytes() const;
  /// The machine's peak over all slices so far.
  [[nodiscard]] PeakSpread peak() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace virgil::bench
