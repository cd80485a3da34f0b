#include "cuda/sim/control.h"

#include "cuda/sim/played_device.h"

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

void set_schedule(const Schedule& schedule) {
  const Turn turn;
  simulator().set_schedule(schedule);
}
void set_device(const DeviceModel& device) { played_device().model = device; }
const DeviceModel& device() { return played_device().model; }
std::string last_error() {
  const Turn turn;
  return simulator().error();
}
void reset_error() {
  const Turn turn;
  simulator().reset_error();
  played_device().last_error = cudaSuccess;
}
const Statistics& statistics() { return simulator().statistics(); }
void plant_nccl_error(int result) {
  const Turn turn;
  played_device().planted_nccl_error = result;
}
void plant_cublaslt_answers(const CublasLtAnswers& answers) {
  const Turn turn;
  played_device().cublaslt_answers = answers;
}

}  // namespace virgil::simt
