// A folder that is read while another process may put a new one in its place.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "virgil/base/file_system.h"

namespace virgil {

/// A folder held open. Its files are found in it even after another folder has taken its name, so that all that is read belongs
/// together. Move-only. All functions throw UserError with the whole path and the reason.
class Folder {
 public:
  explicit Folder(std::filesystem::path path);
  Folder(Folder&& other) noexcept;
  Folder& operator=(Folder&&) = delete;
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Whether it is this folder that has the name `path` now.
  [[nodiscard]] bool stands_at(const std::filesystem::path& path) const;
  [[nodiscard]] bool holds(const std::string& name) const;
  /// As read_file and MappedFile do, of the file `name` in this folder.
  [[nodiscard]] std::string read(const std::string& name, std::int64_t max_bytes) const;
  [[nodiscard]] MappedFile map(const std::string& name) const;

 private:
  std::filesystem::path path_;
  int descriptor_;
};

/// Calls `read`, which reads the folder `path`. Where it throws UserError and another folder has come to stand there meanwhile,
/// `read` is called again, a bounded number of times: what it met was a folder being replaced. An error about a folder that
/// stayed is passed on at once.
void retry_while_replaced(const std::filesystem::path& path, const std::function<void()>& read);

}  // namespace virgil
