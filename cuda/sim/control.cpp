#include "cuda/sim/control.h"

#include "cuda/sim/simulator.h"

namespace virgil::simt {
// -----------------------------------------------------------------------------------------------------------------

Schedule schedule_of(std::uint64_t seed) {
  Schedule schedule;
  schedule.seed = seed;
  if (seed == 0) return schedule;
  Random random;
  random.seed(seed ^ 0x5EEDU);
  schedule.threads = static_cast<Order>(random.below(3));
  schedule.shuffle_blocks = true;
  schedule.lazy_streams = random.coin();
  schedule.late_copies = random.coin();
  constexpr int kPreemptLog2 = 5;
  schedule.preempt_log2 = kPreemptLog2;
  return schedule;
}

void set_schedule(const Schedule& schedule) { simulator().set_schedule(schedule); }
const std::string& last_error() { return simulator().error(); }
const Statistics& statistics() { return simulator().statistics(); }

}  // namespace virgil::simt
