// What a run in several processes finds out about them before it starts.
#pragma once

#include <memory>
#include <string>

#include "virgil/backend/backend.h"
#include "virgil/config/train_config.h"
#include "virgil/dist/communicator.h"
#include "virgil/dist/process_group.h"
#include "virgil/plan/run_plan.h"
#include "virgil/plan/training_plan.h"

namespace virgil {

/// The start of the SHA-256 of the program that runs, or "unknown" where the system does not let it be read.
[[nodiscard]] std::string program_fingerprint();

/// Collectives over the backend's memory. Throws UserError.
[[nodiscard]] std::unique_ptr<Communicator> make_communicator(Backend& backend, ProcessGroup& group);

/// This process's share of its machine's processors.
struct CpuShare {
  int threads = 0;      // 0: all it may use
  std::string warning;  // where it was given too few; else empty
};
/// Processes that may run on the same processors share them evenly; mpirun may have bound each to its own.
[[nodiscard]] CpuShare cpu_share(ProcessGroup& group);

/// Processors that measure differently train in one type: bfloat16 where all prefer it, else float32. Every rank calls it.
void agree_on_dtype(Machine& machine, ProcessGroup& group);

/// The GPU for a rank where none is named: ranks of a machine take turns with those that they see.
[[nodiscard]] int device_of_process(const ProcessGroup& group, int num_devices);

/// "ranks    4 processes on one machine, Open MPI 4.1.4; MPI over host memory; zero_stage 1; each sends 1.49 GiB a step".
[[nodiscard]] std::string describe_processes(const TrainConfig& config, const ProcessGroup& group,
                                             const Communicator& communicator, const TrainingShape& shape);

}  // namespace virgil
