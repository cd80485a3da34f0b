#include "virgil/base/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "posix_file.h"

namespace virgil {

DirectoryLock::DirectoryLock(const std::filesystem::path& directory) {
  FileDescriptor file = open_file(directory, O_RDONLY | O_DIRECTORY);
  if (retry_interrupted([&] { return ::flock(file.get(), LOCK_EX | LOCK_NB); }) != 0 && errno == EWOULDBLOCK) {
    throw user_error("{}: another process is working in this folder; wait until it ends, or choose another folder",
                     directory.string());
  }
  descriptor_ = file.release();
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

DirectoryLock::~DirectoryLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace virgil
