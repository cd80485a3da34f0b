// MPI_Init and MPI_Finalize.
#pragma once

#include <atomic>
#include <string>

namespace virgil {

/// One per process and life: MPI cannot start again.
class MpiSession {
 public:
  /// `num_launched` as launched_processes(). Throws UserError where MPI lets only one thread call it, or does not find the
  /// processes that were launched.
  explicit MpiSession(int num_launched);
  /// Ends MPI, unless the group is broken or an exception is on its way: MPI would wait for ranks that do not come. The
  /// launcher then ends the others when this process ends.
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  /// Set when a wait for other ranks has failed.
  [[nodiscard]] std::atomic<bool>& is_broken() { return is_broken_; }
  /// "Open MPI 4.1.4".
  [[nodiscard]] static std::string library();

 private:
  std::atomic<bool> is_broken_ = false;
};

}  // namespace virgil
