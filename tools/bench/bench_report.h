// What bench prints.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/op_timer.h"
#include "bench/step_bench.h"
#include "bench/torch_comparison.h"
#include "virgil/base/dtype.h"

namespace virgil::bench {

struct BenchResult {
  std::string device;
  DType dtype = DType::kFloat32;  // of the step
  MachinePeak peak;
  StepResult step;
  std::vector<OpTiming> inference_ops;
  bool torch_wanted = false;
  std::optional<TorchComparison> torch;
};

/// For people: the machine, the step, time by family, and a line an op.
[[nodiscard]] std::string text_report(const BenchResult& result);
/// One JSON object; see docs/performance.md for its fields.
[[nodiscard]] std::string json_report(const BenchResult& result);

}  // namespace virgil::bench
