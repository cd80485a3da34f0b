#include "bench/peak_rates.h"

#include <fmt/format.h>

#include <vector>

#include "virgil/base/dtype.h"

namespace virgil::bench {

namespace {

/// "224.1 GFLOP/s (221.0 to 226.2)".
std::string describe_rate(const Spread& rate, const char* unit) {
  return fmt::format("{:.1f} {} ({:.1f} to {:.1f})", rate.median, unit, rate.lower, rate.upper);
}

}  // namespace

MachinePeak mean_of(const MachinePeak& before, const MachinePeak& after) {
  MachinePeak mean = before;
  for (auto& [dtype, gflops] : mean.gemm_gflops_by_dtype) gflops = (gflops + after.gemm_gflops_by_dtype.at(dtype)) / 2;
  mean.gemm_gflops = (before.gemm_gflops + after.gemm_gflops) / 2;
  mean.bandwidth_gb_per_s = (before.bandwidth_gb_per_s + after.bandwidth_gb_per_s) / 2;
  return mean;
}

MachinePeak PeakSpread::medians() const {
  MachinePeak peak{
      .gemm_gflops_by_dtype = {}, .gemm_gflops = gemm_gflops.median, .bandwidth_gb_per_s = bandwidth_gb_per_s.median};
  for (const auto& [dtype, gflops] : gemm_gflops_by_dtype) peak.gemm_gflops_by_dtype[dtype] = gflops.median;
  return peak;
}

PeakSpread spread_of_slices(std::span<const MachinePeak> slices) {
  std::map<std::string, std::vector<double>> by_dtype;
  std::vector<double> gemm, bandwidth;
  for (const MachinePeak& slice : slices) {
    for (const auto& [dtype, gflops] : slice.gemm_gflops_by_dtype) by_dtype[dtype].push_back(gflops);
    gemm.push_back(slice.gemm_gflops);
    bandwidth.push_back(slice.bandwidth_gb_per_s);
  }
  PeakSpread spread{.gemm_gflops_by_dtype = {}, .gemm_gflops = spread_of(gemm), .bandwidth_gb_per_s = spread_of(bandwidth)};
  for (const auto& [dtype, gflops] : by_dtype) spread.gemm_gflops_by_dtype[dtype] = spread_of(gflops);
  return spread;
}

std::string describe_peak(const PeakSpread& peak) {
  std::string peaks;
  const auto exact = peak.gemm_gflops_by_dtype.find(std::string(name_of(DType::kFloat32)));
  const double exact_gflops = exact == peak.gemm_gflops_by_dtype.end() ? 0 : exact->second.median;
  for (const auto& [dtype, gflops] : peak.gemm_gflops_by_dtype) {
    const bool is_slow = dtype != name_of(DType::kFloat32) && gflops.median < exact_gflops;
    peaks += fmt::format("{}{} in {} matrix products{}", peaks.empty() ? "" : ", ", describe_rate(gflops, "GFLOP/s"), dtype,
                         is_slow ? " (below float32)" : "");
  }
  return fmt::format("{}, {} of memory", peaks, describe_rate(peak.bandwidth_gb_per_s, "GB/s"));
}

}  // namespace virgil::bench
