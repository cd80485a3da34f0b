// Clearing up after a failure, which must not hide it.
#pragma once

#include <filesystem>

#include "virgil/base/error.h"
#include "virgil/base/file_system.h"

namespace virgil {

/// Removes a partial file or folder as far as the disk allows.
inline void remove_quietly(FileSystem& files, const std::filesystem::path& path) {
  try {
    files.remove_all(path);
  } catch (const UserError&) {
    // What made the caller clear up is what its user must hear of.
  }
}

}  // namespace virgil
