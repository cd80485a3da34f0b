// Another program, started without a shell.
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <string>

namespace virgil {

/// Open descriptors that become a child's standard streams; -1: it has this process's own.
struct ChildStreams {
  int in = -1;
  int out = -1;
  int err = -1;
};

/// A running program. Its owner waits for it before it goes: destruction does not.
class ChildProcess {
 public:
  /// Looks for `program` in PATH, unless its name has a slash, and starts it with no signal blocked. Throws std::system_error
  /// with the reason why it cannot be started.
  ChildProcess(const std::string& program, std::span<const std::string> arguments, const ChildStreams& streams = {});

  /// Its exit status once it has ended, 128 and the signal's number where one ended it; does not wait. Once it has told it, it
  /// is not asked again.
  [[nodiscard]] std::optional<int> exit_status();
  /// The same, and waits for it.
  [[nodiscard]] int wait();
  /// SIGTERM.
  void ask_to_stop();

 private:
  pid_t process_ = 0;
};

}  // namespace virgil
