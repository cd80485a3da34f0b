#include "virgil/base/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>
#include <utility>

#include "posix_file.h"

namespace virgil {

namespace {

/// False where another holds it.
bool try_lock(const FileDescriptor& folder) {
  return retry_interrupted([&] { return ::flock(folder.get(), LOCK_EX | LOCK_NB); }) == 0 || errno != EWOULDBLOCK;
}

}  // namespace

DirectoryLock::DirectoryLock(const std::filesystem::path& directory) {
  FileDescriptor file = open_file(directory, O_RDONLY | O_DIRECTORY);
  if (!try_lock(file)) {
    throw user_error("{}: another process is working in this folder; wait until it ends, or choose another folder",
                     directory.string());
  }
  descriptor_ = file.release();
}

std::optional<DirectoryLock> DirectoryLock::wait_for(const std::filesystem::path& directory, std::chrono::milliseconds limit) {
  constexpr std::chrono::milliseconds kPause(5);
  FileDescriptor file = open_file(directory, O_RDONLY | O_DIRECTORY);
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!try_lock(file)) {
    if (std::chrono::steady_clock::now() >= end) return std::nullopt;
    std::this_thread::sleep_for(kPause);
  }
  return DirectoryLock(file.release());
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

DirectoryLock::~DirectoryLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace virgil
