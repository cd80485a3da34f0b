#include "virgil/base/folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "posix_file.h"
#include "virgil/base/error.h"
#include "virgil/base/paths.h"

namespace virgil {
Folder::Folder(std::filesystem::path path) : path_(std::move(path)), descriptor_(-1) {
  descriptor_ = open_file(path_, O_RDONLY | O_DIRECTORY).release();
}

Folder::Folder(Folder&& other) noexcept : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

Folder::~Folder() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool Folder::holds(const std::string& name) const {
  struct stat status {};
  if (::fstatat(descriptor_, name.c_str(), &status, 0) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  throw io_error(path_ / name, "cannot be looked at", errno);
}

std::string Folder::read(const std::string& name, std::int64_t max_bytes) const {
  const MappedFile file = map(name);
  if (std::cmp_greater(file.bytes().size(), max_bytes)) {
    throw user_error("{}: larger than the {} bytes such a file may have; is it the right file?", (path_ / name).string(),
                     max_bytes);
  }
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

MappedFile Folder::map(const std::string& name) const {
  return {open_regular_file_in(descriptor_, name, path_ / name), path_ / name};
}

bool Folder::stands_at(const std::filesystem::path& path) const {
  struct stat own {};
  struct stat there {};
  return ::fstat(descriptor_, &own) == 0 && ::stat(path.c_str(), &there) == 0 && own.st_dev == there.st_dev &&
         own.st_ino == there.st_ino;
}

void retry_while_replaced(const std::filesystem::path& path, const std::function<void()>& read) {
  constexpr std::chrono::milliseconds kPause(10);  // a writer takes far longer from one folder to the next
  for (int tries = 1;; ++tries) {
    std::optional<Folder> before;  // held open, so that its number is not given to the one that takes its place
    if (kind_of_path(path) == PathKind::kFolder) {
      try {
        before.emplace(path);
      } catch (const UserError&) {
        // `read` will tell why, or find another one.
      }
    }
    try {
      return read();
    } catch (const UserError&) {
      const int most_tries = before ? 20 : 3;  // between two renames of a writer nothing stands there, for a moment
      if (tries == most_tries || (before && before->stands_at(path))) throw;
    }
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace virgil
