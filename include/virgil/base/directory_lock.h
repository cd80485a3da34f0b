// One process at a time in a folder.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>

namespace virgil {

/// An exclusive advisory lock (flock) on a folder, held until destruction or the end of the process, however it ends. Puts no
/// file into the folder. Move-only.
class DirectoryLock {
 public:
  /// Throws UserError when `directory` cannot be opened or another process holds its lock. Where a file system knows no such
  /// locks (some network ones), nothing is locked.
  explicit DirectoryLock(const std::filesystem::path& directory);
  /// Waits until others have given the lock back, and for no longer than `limit`: nothing then. For short work only.
  [[nodiscard]] static std::optional<DirectoryLock> wait_for(const std::filesystem::path& directory,
                                                             std::chrono::milliseconds limit);
  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&&) = delete;
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;
  ~DirectoryLock();

 private:
  explicit DirectoryLock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
};

}  // namespace virgil
