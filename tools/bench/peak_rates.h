// The best rates that this machine reaches, which times are held against, and how they varied while it was measured.
#pragma once

#include <map>
#include <span>
#include <string>

#include "virgil/base/spread.h"

namespace virgil::bench {

/// Of one slice of a PeakMeter, or medians over many.
struct MachinePeak {
  std::map<std::string, double> gemm_gflops_by_dtype;  // "float32", and "bfloat16" where the processor multiplies it
  double gemm_gflops = 0;                              // of the dtype in which the step is computed
  double bandwidth_gb_per_s = 0;                       // bytes read and written, 10^9
};

/// What a turn between two slices is held against.
[[nodiscard]] MachinePeak mean_of(const MachinePeak& before, const MachinePeak& after);

/// Over all slices of a run.
struct PeakSpread {
  std::map<std::string, Spread> gemm_gflops_by_dtype;
  Spread gemm_gflops;
  Spread bandwidth_gb_per_s;
  [[nodiscard]] MachinePeak medians() const;
};

[[nodiscard]] PeakSpread spread_of_slices(std::span<const MachinePeak> slices);

/// "224.1 GFLOP/s (221.0 to 226.2) in float32 matrix products, 31.9 GB/s (31.0 to 32.5) of memory".
[[nodiscard]] std::string describe_peak(const PeakSpread& peak);

}  // namespace virgil::bench
