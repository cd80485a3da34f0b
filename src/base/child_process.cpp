#include "virgil/base/child_process.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "posix_file.h"
#include "virgil/base/error.h"

extern char** environ;

namespace virgil {

namespace {

/// Attributes and file actions of a spawn.
class SpawnOptions {
 public:
  SpawnOptions() {
    posix_spawnattr_init(&attributes_);
    posix_spawn_file_actions_init(&actions_);
  }
  ~SpawnOptions() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnOptions(const SpawnOptions&) = delete;
  SpawnOptions& operator=(const SpawnOptions&) = delete;

  /// StopSignal blocks signals, and a child would begin with them blocked.
  void unblock_signals() {
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK);
  }
  void connect(int descriptor, int stream) {
    if (descriptor >= 0) posix_spawn_file_actions_adddup2(&actions_, descriptor, stream);
  }
  [[nodiscard]] const posix_spawnattr_t* attributes() const { return &attributes_; }
  [[nodiscard]] const posix_spawn_file_actions_t* actions() const { return &actions_; }

 private:
  posix_spawnattr_t attributes_{};
  posix_spawn_file_actions_t actions_{};
};

int status_of(int wait_status) { return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status); }

}  // namespace

ChildProcess::ChildProcess(const std::string& program, std::span<const std::string> arguments, const ChildStreams& streams) {
  SpawnOptions options;
  options.unblock_signals();
  options.connect(streams.in, STDIN_FILENO);
  options.connect(streams.out, STDOUT_FILENO);
  options.connect(streams.err, STDERR_FILENO);
  std::vector<std::string> words = {program};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const int error = posix_spawnp(&process_, program.c_str(), options.actions(), options.attributes(), pointers.data(), environ);
  if (error != 0) throw std::system_error(error, std::generic_category());
}

std::optional<int> ChildProcess::exit_status() {
  int status = 0;
  const pid_t ended = retry_interrupted([&] { return waitpid(process_, &status, WNOHANG); });
  if (ended == 0) return std::nullopt;
  if (ended == -1) throw InternalError("a child that was waited for already");
  return status_of(status);
}

int ChildProcess::wait() {
  int status = 0;
  if (retry_interrupted([&] { return waitpid(process_, &status, 0); }) == -1) {
    throw InternalError("a child that was waited for already");
  }
  return status_of(status);
}

void ChildProcess::ask_to_stop() { kill(process_, SIGTERM); }

}  // namespace virgil
