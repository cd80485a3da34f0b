// How a process finds the others that mpirun or srun has started with it.
//
// Two libraries define join_process_group: virgil_mpi, and virgil_no_mpi where Virgil is built without MPI.
#pragma once

#include <chrono>
#include <memory>

#include "virgil/dist/process_group.h"

namespace virgil {

struct GroupOptions {
  /// How long a rank may be waited for before it is taken for lost.
  std::chrono::milliseconds timeout = std::chrono::minutes(10);
};

/// The number of processes that a launcher (mpirun, srun, anything that speaks PMI or PMIx) says it has started, by its
/// environment variables; 1 without a launcher, and 0 where it tells that there is one but not how many.
[[nodiscard]] int launched_processes();
/// Whether a launcher has started this process, alone or with others.
[[nodiscard]] bool is_launched();

/// Whether join_process_group can join more than one process.
[[nodiscard]] bool is_built_with_mpi();

/// The group this process was started in: of one process without a launcher. Call it once, before threads are started, and
/// destroy the group last: that ends MPI. Throws UserError when MPI cannot start, and when there are other processes and Virgil
/// is built without MPI.
[[nodiscard]] std::unique_ptr<ProcessGroup> join_process_group(const GroupOptions& options);

}  // namespace virgil
