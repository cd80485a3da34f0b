#include "virgil/train/stop_signal.h"

#include <csignal>
#include <ctime>

namespace virgil {

namespace {

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGUSR1);
  return signals;
}

}  // namespace

StopSignal::StopSignal() {
  const sigset_t signals = stop_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

bool StopSignal::requested() {
  if (requested_) return true;
  const sigset_t signals = stop_signals();
  const timespec no_wait{};
  // Several may wait, and one left over would end the process at once when unblocked.
  while (sigtimedwait(&signals, nullptr, &no_wait) > 0) requested_ = true;
  if (requested_) pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  return requested_;
}

}  // namespace virgil
