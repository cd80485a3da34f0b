#include "virgil/base/paths.h"

#include <sys/stat.h>

#include <cerrno>

#include "posix_file.h"
#include "virgil/base/error.h"

namespace virgil {

PathKind kind_of_path(const std::filesystem::path& path) {
  check_path(path);
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return PathKind::kNothing;
    throw io_error(path, "cannot be looked at", errno);
  }
  if (S_ISREG(status.st_mode)) return PathKind::kFile;
  return S_ISDIR(status.st_mode) ? PathKind::kFolder : PathKind::kOther;
}

bool is_name_taken(const std::filesystem::path& path) {
  check_path(path);
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  throw io_error(path, "cannot be looked at", errno);
}

}  // namespace virgil
