// SIGINT, SIGTERM, SIGHUP and SIGUSR1 as a request to stop. mpirun forwards SIGUSR1 to its processes, where it makes a kill of
// the others, and Slurm sends it some time before a job's end when told so.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

namespace virgil {

/// Waits for the signals in a thread of its own, so that whatever the program is busy with, the first one is answered at once:
/// a line says what will happen. The program asks requested() and ends in order. Where it has said that its work can be
/// abandoned, and does not end within a second or so, the thread ends the process (exit code 130). A second signal ends it at
/// once, by that signal. What comes within a quarter of a second of the first is taken for the same one (`timeout` and
/// terminals signal both a process and its group).
///
/// Make it before any other thread exists (MPI starts some): it blocks the signals for this thread and those it starts.
/// SIGHUP stays ignored in a process that was started so (nohup).
class StopSignal {
 public:
  using Say = std::function<void(std::string_view line)>;

  /// `say` is called from the thread; without it lines go to standard error.
  explicit StopSignal(Say say = {});
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// True from the first signal, or request(), on.
  [[nodiscard]] bool requested() const { return requested_; }
  /// As a signal would, for `why`. The first one counts.
  void request(std::string_view why);

  /// What a request leads to from now on: "stopping WHEN: OUTCOME". `abandonable`: the process may be ended in the midst of it.
  void foresee(std::string_view when, std::string_view outcome, bool abandonable);
  /// Called from the thread before it ends the process, in place of what was given before; quick. Empty: nothing.
  void on_abandon(std::function<void()> clean_up);
  /// A phase within that: `what` the program is doing now ("reading"), in place of the time above; empty: none.
  void set_phase(std::string_view what);
  /// SIGUSR1 is not announced: mpirun sends it to all its processes, and one line is enough.
  void leave_usr1_to_others() { usr1_is_silent_ = true; }

 private:
  void watch();
  void announce(std::string_view cause);
  [[nodiscard]] std::string announcement(std::string_view cause) const;
  void end_abandonable_work();
  [[noreturn]] void end_by(int signal);

  Say say_;
  std::atomic<bool> requested_ = false;
  std::atomic<bool> finished_ = false;
  std::atomic<bool> usr1_is_silent_ = false;
  mutable std::mutex mutex_;  // of what follows
  std::string when_ = "at once";
  std::string outcome_;
  std::string phase_;
  bool abandonable_ = true;
  std::function<void()> clean_up_;
  std::thread thread_;
};

}  // namespace virgil
