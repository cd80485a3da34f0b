// Stands in for mpi_process_group.cpp where Virgil is built without MPI.
#include "virgil/dist/launch.h"

#include <fmt/format.h>

#include <memory>

namespace virgil {

bool is_built_with_mpi() { return false; }

std::unique_ptr<ProcessGroup> join_process_group(const GroupOptions&) {
  const int processes = launched_processes();
  if (processes != 1) {
    throw user_error(
        "this was started as {} by mpirun or srun, and Virgil was built without MPI: install Open MPI with its headers "
        "(Debian: "
        "tools/setup.sh --mpi), and build again",
        processes == 0 ? "one of several processes" : fmt::format("one of {} processes", processes));
  }
  return make_single_process_group();
}

}  // namespace virgil
