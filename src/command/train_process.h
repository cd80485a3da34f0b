// `train` as a process of its own.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace virgil {

/// A running program; whoever destroys it has waited for it.
class ChildProcess {
 public:
  /// Starts `program` with unblocked signals. Its output goes where this process's goes, or to the end of `log`. Throws
  /// UserError.
  ChildProcess(const std::string& program, const std::vector<std::string>& arguments, const std::filesystem::path& log);

  /// Its exit status once it has ended, 128 and the signal's number where one ended it; does not wait.
  [[nodiscard]] std::optional<int> exit_status();
  /// SIGTERM.
  void ask_to_stop();

 private:
  pid_t process_ = 0;
};

}  // namespace virgil
