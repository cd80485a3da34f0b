#include "virgil/base/provisional_folder.h"

#include <unistd.h>

#include "virgil/base/paths.h"

namespace virgil {

ProvisionalFolder::ProvisionalFolder(FileSystem& files, const std::filesystem::path& folder) {
  for (std::filesystem::path path = folder; !path.empty() && !path_exists(path); path = path.parent_path()) {
    if (path.has_filename()) made_.push_back(path);
  }
  try {
    files.create_directories(folder);
  } catch (...) {
    remove_what_is_empty();
    throw;
  }
}

void ProvisionalFolder::remove_what_is_empty() const noexcept {
  for (const std::filesystem::path& path : made_) {
    if (::rmdir(path.c_str()) != 0) return;
  }
}

}  // namespace virgil
