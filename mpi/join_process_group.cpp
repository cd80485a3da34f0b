#include <chrono>
#include <memory>

#include "mpi/mpi_process_group.h"
#include "virgil/base/error.h"
#include "virgil/dist/launch.h"

namespace virgil {

bool is_built_with_mpi() { return true; }

std::unique_ptr<ProcessGroup> join_process_group(const GroupOptions& options) {
  VIRGIL_CHECK(options.timeout > std::chrono::milliseconds(0), "a time limit of {} ms", options.timeout.count());
  const int num_launched = launched_processes();
  // A process that no launcher has started would start one of MPI's own, which takes a second and fails in some sandboxes.
  if (num_launched == 1) return make_single_process_group();
  return std::make_unique<MpiProcessGroup>(options, num_launched);
}

}  // namespace virgil
