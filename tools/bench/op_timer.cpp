#include "bench/op_timer.h"

#include <algorithm>
#include <cstddef>
#include <functional>

#include "virgil/base/error.h"

namespace virgil::bench {

double OpCost::floor_ms(const MachinePeak& peak) const {
  return std::max(flops / (peak.gemm_gflops * 1e6), bytes / (peak.bandwidth_gb_per_s * 1e6));
}

void OpTimer::begin_round() { ++num_rounds_; }

void OpTimer::add(const OpLabel& label, const OpCost& cost, double ms) {
  Entry& entry = entries_[{label.phase, label.name, label.shape}];
  entry.timing.label = label;
  entry.timing.cost.flops += cost.flops;
  entry.timing.cost.bytes += cost.bytes;
  entry.rounds.resize(num_rounds_);
  entry.rounds.back().ms += ms;
  ++entry.rounds.back().calls;
}

OpTiming OpTimer::timing_of(const Entry& entry, std::span<const MachinePeak> peaks) {
  OpTiming timing = entry.timing;
  double all_calls = 0;
  for (const Round& round : entry.rounds) all_calls += static_cast<double>(round.calls);
  timing.cost.flops /= all_calls;
  timing.cost.bytes /= all_calls;
  std::vector<double> means, shares;
  for (std::size_t i = 0; i < entry.rounds.size(); ++i) {
    const Round& round = entry.rounds[i];
    if (round.calls == 0) continue;
    timing.calls = round.calls;
    means.push_back(round.mean_ms());
    if (!peaks.empty()) shares.push_back(timing.cost.floor_ms(peaks[i]) / round.mean_ms());
  }
  timing.ms = median(means);
  timing.floor_share = spread_of(shares);
  return timing;
}

std::vector<OpTiming> OpTimer::timings(std::span<const MachinePeak> peaks) const {
  VIRGIL_CHECK(peaks.empty() || peaks.size() == num_rounds_, "{} peaks of {} rounds", peaks.size(), num_rounds_);
  std::vector<OpTiming> timings;
  for (const auto& [key, entry] : entries_) timings.push_back(timing_of(entry, peaks));
  std::ranges::sort(timings, std::ranges::greater(), &OpTiming::total_ms);
  return timings;
}

std::map<std::string, double> OpTimer::ms_by_family() const {
  std::map<std::string, std::vector<double>> rounds;
  for (const auto& [key, entry] : entries_) {
    const OpLabel& label = entry.timing.label;
    std::vector<double>& sums = rounds[label.phase == kUpdatePhase ? kUpdateFamily : label.family];
    sums.resize(num_rounds_);
    for (std::size_t i = 0; i < entry.rounds.size(); ++i) sums[i] += entry.rounds[i].ms;
  }
  std::map<std::string, double> result;
  for (const auto& [family, sums] : rounds) result[family] = median(sums);
  return result;
}

}  // namespace virgil::bench
