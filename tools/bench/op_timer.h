// What the ops of a phase cost: times by op and shape, and the least that the machine could take.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace virgil::bench {

using Clock = std::chrono::steady_clock;

[[nodiscard]] inline double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

[[nodiscard]] double median(std::vector<double> values);

/// The best rates measured on this machine.
struct MachinePeak {
  std::map<std::string, double> gemm_gflops_by_dtype;  // "float32", and "bfloat16" where the processor multiplies it
  double gemm_gflops = 0;                              // of the dtype in which the step is computed
  double bandwidth_gb_per_s = 0;                       // bytes read and written, 10^9
};

/// What one call must do: operations of matrix products, and operands read or written once.
struct OpCost {
  double flops = 0;
  double bytes = 0;
  /// The time that neither arithmetic nor memory allows to fall below.
  [[nodiscard]] double floor_ms(const MachinePeak& peak) const;
};

/// One op at one shape, over the rounds of a phase.
struct OpTiming {
  std::string name;        // of the op, ops::X::kName
  std::string shape;       // "3072x1152x384"
  std::string family;      // matmul, attention, layernorm, ...
  OpCost cost;             // of one call, mean
  std::int64_t calls = 0;  // in one round
  double ms = 0;           // of one call, median over rounds of the mean
};

/// Collects times. A round is what repeats: a training step.
class OpTimer {
 public:
  void begin_round();
  void add(const std::string& name, const std::string& shape, const std::string& family, const OpCost& cost, double ms);
  /// Slowest in total first.
  [[nodiscard]] std::vector<OpTiming> timings() const;
  /// Milliseconds of a round by family, medians over rounds.
  [[nodiscard]] std::map<std::string, double> ms_by_family() const;

 private:
  struct Round {
    double ms = 0;
    std::int64_t calls = 0;
  };
  struct Entry {
    OpTiming timing;  // its cost: the sum over all calls
    std::vector<Round> rounds;
  };
  std::map<std::pair<std::string, std::string>, Entry> entries_;
  std::size_t num_rounds_ = 0;
};

}  // namespace virgil::bench
