#include "virgil/plan/communication.h"

namespace virgil {

CommunicationVolume communication_volume(const TrainingShape& shape) {
  CommunicationVolume volume;
  const DataParallel& parallel = shape.parallel;
  if (parallel.processes == 1) return volume;
  const std::int64_t flat = parameter_layout(shape).flat_elements();
  // Every part but a process's own.
  const std::int64_t sent = flat / parallel.processes * (parallel.processes - 1);
  const std::int64_t reductions = parallel.shards_gradients() ? shape.grad_accum_steps : 1;
  volume.gradient_bytes = checked_multiply(checked_multiply(sent, size_of(parallel.wire)), reductions);
  if (parallel.shards_optimizer()) {
    volume.weight_bytes = checked_multiply(sent, size_of(shape.dtype));
  } else {
    volume.gradient_bytes = checked_add(volume.gradient_bytes, checked_multiply(sent, size_of(DType::kFloat32)));
  }
  return volume;
}

}  // namespace virgil
