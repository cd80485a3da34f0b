// SIGINT, SIGTERM and SIGUSR1 as a question the training loop can ask. mpirun forwards SIGUSR1 to its processes, where it makes
// of the other two a kill, and Slurm sends it some time before a job's end when told so.
#pragma once

namespace virgil {

/// Blocks the signals for this thread and those it starts later, so make it before any other thread exists (MPI starts some).
/// After the first one has been seen they are unblocked again: a second one ends the process at once.
class StopSignal {
 public:
  StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
  /// True from the first signal on.
  [[nodiscard]] bool requested();

 private:
  bool requested_ = false;
};

}  // namespace virgil
