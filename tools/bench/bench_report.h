// What bench prints.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/attention_race.h"
#include "bench/op_timer.h"
#include "bench/peak_rates.h"
#include "bench/step_bench.h"
#include "bench/torch_comparison.h"
#include "virgil/base/dtype.h"

namespace virgil::bench {

struct BenchResult {
  std::string device;
  DType dtype = DType::kFloat32;  // of the step
  PeakSpread peak;
  StepResult step;
  std::vector<OpTiming> inference_ops;
  std::optional<GenerationResult> generation;
  std::int64_t planned_bytes = 0;
  std::int64_t resident_growth_bytes = 0;  // see StepBench
  std::optional<AttentionRace> cudnn;      // where it was asked for
  bool torch_wanted = false;
  std::optional<TorchComparison> torch;
};

/// What this run does not tell, for warnings: figures that spread wider than the difference that they claim.
[[nodiscard]] std::vector<std::string> doubts_of(const BenchResult& result);
/// For people: the machine, the step, time by family, what the update costs, memory, generation; with `ops` a line an op.
[[nodiscard]] std::string text_report(const BenchResult& result, bool ops);
/// One JSON object; see docs/performance.md for its fields.
[[nodiscard]] std::string json_report(const BenchResult& result);

}  // namespace virgil::bench
