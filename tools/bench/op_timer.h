// What the ops of a phase cost: times by op and shape, and the least that the machine could take.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "bench/peak_rates.h"
#include "virgil/base/spread.h"

namespace virgil::bench {

using Clock = std::chrono::steady_clock;

[[nodiscard]] inline double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// What one call must do: operations of matrix products, and operands read or written once.
struct OpCost {
  double flops = 0;
  double bytes = 0;
  /// The time that neither arithmetic nor memory allows to fall below.
  [[nodiscard]] double floor_ms(const MachinePeak& peak) const;
};

/// Which op, and where.
struct OpLabel {
  std::string phase;   // one of those below
  std::string name;    // of the op, ops::X::kName
  std::string shape;   // "3072x1152x384"
  std::string family;  // matmul, attention, norm, ...
};
inline constexpr const char* kStepPhase = "step";            // passes forward and back
inline constexpr const char* kUpdatePhase = "update";        // the gradients' norm, and what the optimizer does with them
inline constexpr const char* kInferencePhase = "inference";  // evaluation and generation

/// One op at one shape in one phase, over rounds.
struct OpTiming {
  OpLabel label;
  OpCost cost;              // of one call, mean
  std::int64_t calls = 0;   // in one round
  double ms = 0;            // of one call, median over rounds of the mean
  Spread floor_share = {};  // of its time by its floor, each round's by that round's peak; empty where none was given

  [[nodiscard]] double total_ms() const { return ms * static_cast<double>(calls); }
};

/// Collects times. A round is what repeats: a training step.
class OpTimer {
 public:
  void begin_round();
  void add(const OpLabel& label, const OpCost& cost, double ms);
  /// Slowest in total first. `peaks`: of each round, or none.
  [[nodiscard]] std::vector<OpTiming> timings(std::span<const MachinePeak> peaks = {}) const;
  /// Milliseconds of a round by family, medians over rounds; all of the update under "optimizer".
  [[nodiscard]] std::map<std::string, double> ms_by_family() const;
  static constexpr const char* kUpdateFamily = "optimizer";

 private:
  struct Round {
    double ms = 0;
    std::int64_t calls = 0;
    [[nodiscard]] double mean_ms() const { return ms / static_cast<double>(calls); }
  };
  struct Entry {
    OpTiming timing;  // its cost: the sum over all calls
    std::vector<Round> rounds;
  };
  [[nodiscard]] static OpTiming timing_of(const Entry& entry, std::span<const MachinePeak> peaks);

  std::map<std::array<std::string, 3>, Entry> entries_;  // by phase, name and shape
  std::size_t num_rounds_ = 0;
};

}  // namespace virgil::bench
