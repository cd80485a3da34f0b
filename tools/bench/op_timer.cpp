#include "bench/op_timer.h"

#include <algorithm>
#include <cstddef>

namespace virgil::bench {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

double OpCost::floor_ms(const MachinePeak& peak) const {
  return std::max(flops / (peak.gemm_gflops * 1e6), bytes / (peak.bandwidth_gb_per_s * 1e6));
}

void OpTimer::begin_round() { ++num_rounds_; }

void OpTimer::add(const std::string& name, const std::string& shape, const std::string& family, const OpCost& cost, double ms) {
  Entry& entry = entries_[{name, shape}];
  entry.timing.name = name;
  entry.timing.shape = shape;
  entry.timing.family = family;
  entry.timing.cost.flops += cost.flops;
  entry.timing.cost.bytes += cost.bytes;
  entry.rounds.resize(num_rounds_);
  entry.rounds.back().ms += ms;
  ++entry.rounds.back().calls;
}

std::vector<OpTiming> OpTimer::timings() const {
  std::vector<OpTiming> timings;
  for (const auto& [key, entry] : entries_) {
    std::vector<double> means;
    OpTiming timing = entry.timing;
    double all_calls = 0;
    for (const Round& round : entry.rounds) {
      if (round.calls == 0) continue;
      means.push_back(round.ms / static_cast<double>(round.calls));
      timing.calls = round.calls;
      all_calls += static_cast<double>(round.calls);
    }
    timing.cost.flops /= all_calls;
    timing.cost.bytes /= all_calls;
    timing.ms = median(means);
    timings.push_back(timing);
  }
  std::ranges::sort(timings, std::ranges::greater(),
                    [](const OpTiming& timing) { return timing.ms * static_cast<double>(timing.calls); });
  return timings;
}

std::map<std::string, double> OpTimer::ms_by_family() const {
  std::map<std::string, std::vector<double>> rounds;
  for (const auto& [key, entry] : entries_) {
    std::vector<double>& sums = rounds[entry.timing.family];
    sums.resize(num_rounds_);
    for (std::size_t i = 0; i < entry.rounds.size(); ++i) sums[i] += entry.rounds[i].ms;
  }
  std::map<std::string, double> result;
  for (const auto& [family, sums] : rounds) result[family] = median(sums);
  return result;
}

}  // namespace virgil::bench
