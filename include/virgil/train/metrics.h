// What a run tells the world: figures as plain values, and the sinks that take them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "virgil/backend/backend.h"
#include "virgil/base/logging.h"
#include "virgil/memory/memory_resource.h"
#include "virgil/train/loss_history.h"
#include "virgil/train/step_under_way.h"

namespace virgil {

/// Memory in bytes: what was planned, what the engine holds, and what the system says of the process.
struct MemoryUse {
  std::int64_t planned_bytes = 0;
  std::int64_t allocated_bytes = 0;
  std::int64_t peak_bytes = 0;
  BytesByCategory by_category;  // allocated
  BytesByCategory planned_by_category;
  BytesByCategory peak_by_category;
  std::int64_t process_rss_bytes = 0;
  std::int64_t process_peak_bytes = 0;
  std::optional<DeviceMemory> device;  // where it has memory of its own
};

/// One process's account of a step.
struct RankStep {
  double compute_ms = 0;  // until its own gradients were complete: the slowest rank makes the others wait
  std::int64_t allocated_bytes = 0;
  std::int64_t peak_bytes = 0;
  std::int64_t process_rss_bytes = 0;
  std::int64_t device_used_bytes = 0;  // 0 where the device has no memory of its own
};

struct EvalMetrics {
  std::int64_t step = 0;  // updates done
  double loss = 0;        // nats per token
  double perplexity = 0;
  double bits_per_byte = 0;
  std::int64_t num_tokens = 0;
  std::int64_t num_windows = 0;    // evaluated,
  std::int64_t total_windows = 0;  // of those in the text; 0: unknown
  double elapsed_ms = 0;
  bool is_best = false;
};

struct StepMetrics {
  std::int64_t step = 0;  // updates done before this one
  std::int64_t max_steps = 0;
  std::int64_t tokens = 0;  // seen since the start of training, this step included
  double epoch = 0;         // tokens / tokens in the training text
  double loss = 0;          // nats per token, before the update
  double learning_rate = 0;
  double grad_norm = 0;   // before clipping
  bool updated = true;    // false: loss or gradient was not finite
  double loss_scale = 0;  // that the loss of this step was multiplied with (float16); 0: none
  double elapsed_ms = 0;
  double tokens_per_s = 0;
  double model_gflops = 0;  // (6 N + 6 L C T) * tokens_per_s / 10^9, N without looked-up embeddings
  double mfu = 0;           // model_gflops over the rate of the matrix product timed before step 0; 0: none was timed
  double remaining_s = 0;
  double time_s = 0;                      // when the step was done, in Unix seconds
  bool is_logged = true;                  // log_interval asks for a line on the console
  MemoryUse memory;                       // of this process
  std::vector<RankStep> ranks;            // of all processes, by rank
  std::optional<EvalMetrics> evaluation;  // made at this step, before the update
};

/// Takes what happens, in order. info() and warn() are lines for a person.
class MetricsSink : public Logger {
 public:
  /// `losses` holds those of the run so far, this step's with them.
  virtual void step(const StepMetrics& metrics, const LossHistory& losses) = 0;
  virtual void evaluation(const EvalMetrics& metrics) = 0;
  virtual void sample(std::int64_t step, std::string_view text) = 0;
  /// How far the step has come that is being computed, at each of its micro-steps; null: none is, and this one is not finished.
  virtual void step_under_way(const StepUnderWay* /*step*/) {}
};

/// The number of the rank that took longest.
[[nodiscard]] std::size_t slowest_rank(const std::vector<RankStep>& ranks);

/// Resident bytes of this process, now and at the peak, as the system counts them; 0 where the system does not tell.
struct ProcessMemory {
  std::int64_t rss_bytes = 0;
  std::int64_t peak_bytes = 0;
};
[[nodiscard]] ProcessMemory read_process_memory();

}  // namespace virgil
