// A folder for work that may come to nothing.
#pragma once

#include <filesystem>
#include <vector>

#include "virgil/base/file_system.h"

namespace virgil {

/// Makes a folder and the missing ones above it. Those that it made it removes again at its end, as far as they are empty.
class ProvisionalFolder {
 public:
  /// Throws UserError where the folder cannot be made; then none is left of those above it.
  ProvisionalFolder(FileSystem& files, const std::filesystem::path& folder);
  ~ProvisionalFolder() { remove_what_is_empty(); }
  ProvisionalFolder(const ProvisionalFolder&) = delete;
  ProvisionalFolder& operator=(const ProvisionalFolder&) = delete;

  /// From any thread, at any time: what holds something stays.
  void remove_what_is_empty() const noexcept;

 private:
  std::vector<std::filesystem::path> made_;  // the innermost first
};

}  // namespace virgil
