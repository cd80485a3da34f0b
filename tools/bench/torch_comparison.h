// The same training steps in PyTorch, in turns with ours.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "bench/step_bench.h"
#include "virgil/base/spread.h"

namespace virgil::bench {

struct TorchOptions {
  std::string python;  // interpreter
  std::string script;  // tests/reference/bench_torch.py
  std::int64_t num_steps = 5;
};

/// Rates in tokens per second, medians over rounds.
struct TorchComparison {
  double ours = 0;
  double torch = 0;
  std::string torch_version;
  Spread ratio;  // of ours to that of PyTorch in the same round
};

/// Throws UserError when the script is not there: for before anything is measured.
void expect_script(const TorchOptions& options);

/// Three rounds of steps, each of ours and then of PyTorch's. Nothing, when the interpreter has no PyTorch. Throws UserError
/// when the interpreter or the script cannot be run, or fails.
[[nodiscard]] std::optional<TorchComparison> compare_with_torch(StepBench& bench, const Subject& subject,
                                                                const TorchOptions& options);

}  // namespace virgil::bench
