// The folder that `tokenize --output` makes.
#pragma once

#include <filesystem>
#include <optional>

#include "virgil/base/directory_lock.h"
#include "virgil/base/file_system.h"

namespace virgil {

/// A folder that appears when it is whole. Until then it stands beside, as "<name>.tmp-<digits>", locked, and is removed on
/// destruction. What killed processes have left there of the same name is removed first: told by its content, and by not being
/// locked.
class OutputFolder {
 public:
  OutputFolder(FileSystem& files, std::filesystem::path folder);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  /// Where to write.
  [[nodiscard]] const std::filesystem::path& partial() const { return partial_; }
  void finish();

 private:
  FileSystem& files_;
  std::filesystem::path folder_;
  std::filesystem::path partial_;
  std::optional<DirectoryLock> lock_;
  bool done_ = false;
};

}  // namespace virgil
