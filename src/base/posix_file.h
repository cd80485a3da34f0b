// Owned file descriptors and errno in words, for the sources in this folder.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "virgil/base/error.h"

namespace virgil {

/// "<path>: <what>: <the system's reason>; <remedy where there is one>".
[[nodiscard]] UserError io_error(const std::filesystem::path& path, std::string_view what, int error_number);

/// Repeats a system call while a signal interrupts it.
template <typename Call>
auto retry_interrupted(Call&& call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

/// Closes on destruction; move-only.
class FileDescriptor {
 public:
  explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
  FileDescriptor(FileDescriptor&& other) noexcept : descriptor_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  [[nodiscard]] int get() const { return descriptor_; }
  [[nodiscard]] int release() { return std::exchange(descriptor_, -1); }

 private:
  int descriptor_;
};

/// open(2) with O_CLOEXEC; throws UserError.
[[nodiscard]] FileDescriptor open_file(const std::filesystem::path& path, int flags, unsigned mode = 0);

/// For reading; throws UserError on all but regular files, without waiting for the other end of a pipe.
[[nodiscard]] FileDescriptor open_regular_file(const std::filesystem::path& path, std::int64_t& size_bytes);
/// Likewise the file `name` of the open folder `directory`; `path` is what messages tell.
[[nodiscard]] FileDescriptor open_regular_file_in(int directory, const std::string& name, const std::filesystem::path& path);

/// Throws UserError where `path` can name nothing: it holds a NUL, at which the system would take it to end, or a name longer
/// than any file's, which the system tells only once the folder above is there.
void check_path(const std::filesystem::path& path);

}  // namespace virgil
