#include "virgil/base/stop_signal.h"

#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <utility>

namespace virgil {

namespace {

using namespace std::chrono_literals;

constexpr int kStoppedExitCode = 130;
constexpr auto kSameSignal = 250ms;
constexpr auto kGrace = 1200ms;  // for the program to end in order, where nothing is lost otherwise

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGHUP}) {
    struct sigaction action {};
    sigaction(signal, nullptr, &action);
    // Blocked signals are queued even where they are ignored. A script ignores SIGINT for what it starts in the background, and
    // yet whoever sends it there means it.
    const bool ignored = signal == SIGHUP && (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_IGN;
    if (!ignored) sigaddset(&signals, signal);
  }
  return signals;
}

timespec to_timespec(std::chrono::nanoseconds duration) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  return {static_cast<time_t>(seconds.count()), static_cast<long>((duration - seconds).count())};
}

/// The signal that came within `duration`; nothing when none did.
std::optional<int> wait_for(const sigset_t& signals, std::chrono::steady_clock::duration duration) {
  const timespec timeout = to_timespec(duration);
  const int signal = sigtimedwait(&signals, nullptr, &timeout);
  return signal > 0 ? std::optional(signal) : std::nullopt;
}

std::string_view name_of_signal(int signal) {
  switch (signal) {
    case SIGINT:
      return "SIGINT";
    case SIGTERM:
      return "SIGTERM";
    case SIGHUP:
      return "SIGHUP";
    default:
      return "SIGUSR1";
  }
}

/// As the signal does to a program that knows nothing of it.
[[noreturn]] void die_of(int signal) {
  std::signal(signal, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, signal);
  pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  std::raise(signal);
  std::_Exit(kStoppedExitCode);
}

void say_to_standard_error(std::string_view line) {
  // On a terminal a live line may stand there.
  const bool is_terminal = isatty(STDERR_FILENO) == 1;
  const std::string text = fmt::format("{}{}\n", is_terminal ? "\r\x1b[K" : "", line);
  static_cast<void>(!write(STDERR_FILENO, text.data(), text.size()));
}

}  // namespace

StopSignal::StopSignal(Say say) : say_(say ? std::move(say) : say_to_standard_error) {
  const sigset_t signals = stop_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  thread_ = std::thread([this] { watch(); });
}

StopSignal::~StopSignal() {
  finished_ = true;
  pthread_kill(thread_.native_handle(), SIGUSR1);
  thread_.join();
}

void StopSignal::request(std::string_view why) {
  if (!requested_.exchange(true)) announce(why);
}

void StopSignal::foresee(std::string_view when, std::string_view outcome, bool abandonable) {
  const std::lock_guard lock(mutex_);
  when_ = when;
  outcome_ = outcome;
  abandonable_ = abandonable;
}

void StopSignal::on_abandon(std::function<void()> clean_up) {
  const std::lock_guard lock(mutex_);
  clean_up_ = std::move(clean_up);
}

void StopSignal::set_phase(std::string_view what) {
  const std::lock_guard lock(mutex_);
  phase_ = what;
}

void StopSignal::watch() {
  const sigset_t signals = stop_signals();
  int signal = 0;
  while (sigwait(&signals, &signal) == 0 && !finished_) {
    const bool is_first = !requested_.exchange(true);
    if (!is_first) {
      say_(fmt::format("{}: stopping now", name_of_signal(signal)));
      end_by(signal);
    }
    if (signal != SIGUSR1 || !usr1_is_silent_) announce(name_of_signal(signal));
    const auto start = std::chrono::steady_clock::now();
    const auto left = [&](auto duration) { return std::max(0ns, start + duration - std::chrono::steady_clock::now()); };
    while (!finished_ && left(kSameSignal) > 0ns) static_cast<void>(wait_for(signals, left(kSameSignal)));
    if (finished_) return;
    const std::optional<int> second = wait_for(signals, left(kGrace));
    if (finished_) return;
    if (second) end_by(*second);
    end_abandonable_work();
  }
}

void StopSignal::announce(std::string_view cause) { say_(announcement(cause)); }

std::string StopSignal::announcement(std::string_view cause) const {
  const std::lock_guard lock(mutex_);
  const std::string when = phase_.empty() ? when_ : "while " + phase_;
  return fmt::format("{}: stopping {}{}{}; once more to stop now", cause, when, outcome_.empty() ? "" : ": ", outcome_);
}

/// The lock keeps the program from going on to work that is not abandonable.
void StopSignal::end_abandonable_work() {
  const std::lock_guard lock(mutex_);
  if (!abandonable_) return;
  if (clean_up_) clean_up_();
  std::fflush(stdout);
  std::_Exit(kStoppedExitCode);
}

void StopSignal::end_by(int signal) {
  const std::lock_guard lock(mutex_);
  if (clean_up_) clean_up_();
  die_of(signal);
}

}  // namespace virgil
