// How OpenMP's threads wait for each other.
#pragma once

namespace virgil {

/// Whether the environment says how they wait (OMP_WAIT_POLICY, GOMP_SPINCOUNT, KMP_BLOCKTIME, KMP_LIBRARY).
[[nodiscard]] bool is_thread_waiting_chosen();

/// Lets threads that wait spin only for some hundred microseconds, and then sleep. libgomp's default is milliseconds: beside
/// other programs a thread that waits holds the core which the one it waits for needs, and a step takes tens of times longer.
/// libgomp reads its environment before main(), so this sets GOMP_SPINCOUNT and starts the program again, in the same process
/// and with the same arguments; then it removes the variable, which other programs started from here must not inherit. Changes
/// nothing where the environment says how threads wait, or where the system does not let the program be started again. To be
/// called first in main().
void bound_thread_waiting(char** argv) noexcept;

}  // namespace virgil
