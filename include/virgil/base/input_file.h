// Reading a file from its beginning, whatever a path may name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace virgil {

/// A regular file opened for reading; move-only. A folder, a pipe, a device or a socket is refused at once and by its kind: it
/// is never waited for, as open(2) would wait for the other end of a pipe.
class InputFile {
 public:
  /// Throws UserError naming the path and what stands in the way.
  explicit InputFile(std::filesystem::path path);
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile();

  /// Fills `out` as far as the file reaches, and says how far: less than asked for only at the end. Throws UserError.
  [[nodiscard]] std::size_t read(std::span<char> out);
  /// When it was opened.
  [[nodiscard]] std::int64_t size_bytes() const { return size_bytes_; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::int64_t size_bytes_ = 0;  // set while the descriptor is made
  int descriptor_;
};

}  // namespace virgil
