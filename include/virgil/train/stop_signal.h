// SIGINT and SIGTERM as a question the training loop can ask.
#pragma once

namespace virgil {

/// Blocks both signals for this thread and those it starts later, so make it before any other thread exists. After the first
/// one has been seen they are unblocked again: a second one ends the process at once.
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
