// Long work tells how far it has come, and asks whether it shall go on.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace virgil {

/// Ends a phase that somebody asked to stop. No Error: nothing is wrong. Programs exit with 130.
class Stopped : public std::exception {
 public:
  [[nodiscard]] const char* what() const noexcept override { return "stopped by request"; }
};

/// How far a phase has come.
struct PhaseProgress {
  std::string_view name;   // what the program is doing: "reading", "training the vocabulary"
  std::string_view unit;   // of the amounts: "bytes", "windows"
  std::int64_t done = 0;   // may exceed total, which is then an estimate
  std::int64_t total = 0;  // 0: unknown
};

/// Who watches long work. This one never stops it and says nothing. All calls may come from any thread, report() and
/// end_phase() from one at a time.
class ProgressMonitor {
 public:
  virtual ~ProgressMonitor() = default;
  /// True from the moment on that somebody asked the program to stop.
  [[nodiscard]] virtual bool stop_requested() { return false; }
  /// Called often (every few milliseconds of work).
  virtual void report(const PhaseProgress&) {}
  virtual void end_phase() {}
  /// Says what a request to stop leads to from now on, for whoever makes it: `when` the work ends and what comes of it.
  /// `abandonable`: nothing is being written, so the process may be ended in the midst of it.
  virtual void foresee_stop(std::string_view /*when*/, std::string_view /*outcome*/, bool /*abandonable*/) {}
  /// What to do before the process is ended in the midst of its work, in place of what was given before; from another thread,
  /// and quickly. Empty: nothing.
  virtual void on_abandon(std::function<void()> /*clean_up*/) {}
};

/// Asks a function whether to stop, and shows nothing.
class StopWhen final : public ProgressMonitor {
 public:
  explicit StopWhen(std::function<bool()> condition) : condition_(std::move(condition)) {}
  [[nodiscard]] bool stop_requested() override { return condition_(); }

 private:
  std::function<bool()> condition_;
};

/// One phase of long work, from construction to destruction. Without a monitor all of it does nothing.
class ProgressPhase {
 public:
  ProgressPhase(ProgressMonitor* monitor, std::string_view name, std::string_view unit, std::int64_t total)
      : monitor_(monitor), name_(name), unit_(unit), total_(total) {
    note(0);
  }
  ~ProgressPhase() {
    if (monitor_ != nullptr) monitor_->end_phase();
  }
  ProgressPhase(const ProgressPhase&) = delete;
  ProgressPhase& operator=(const ProgressPhase&) = delete;

  /// So much more is done. From any thread. Throws Stopped where a stop was requested.
  void advance(std::int64_t amount) {
    if (monitor_ == nullptr) return;
    check();
    note(amount);
  }
  /// The same without looking for a stop, for who must end in an order of its own.
  void note(std::int64_t amount) {
    if (monitor_ == nullptr) return;
    const std::lock_guard lock(mutex_);
    done_ += amount;
    monitor_->report({name_, unit_, done_, total_});
  }
  /// Throws Stopped where a stop was requested. From any thread.
  void check() const {
    if (monitor_ != nullptr && monitor_->stop_requested()) throw Stopped();
  }

 private:
  ProgressMonitor* monitor_;
  std::string name_;
  std::string unit_;
  std::mutex mutex_;
  std::int64_t done_ = 0;
  std::int64_t total_;
};

}  // namespace virgil
