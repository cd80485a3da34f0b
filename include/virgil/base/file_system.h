// The seam between Virgil and the disk: everything durable is written through it, so that tests can make any call fail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace virgil {

/// A file being written from its beginning. Destroying it without close() leaves a partial file and reports nothing.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  /// All throw UserError with the path and the system's reason ("No space left on device").
  virtual void append(std::span<const std::byte> bytes) = 0;
  /// Hands what was appended to the system (no durability), so that readers and a killed process see whole lines.
  virtual void flush() = 0;
  /// Makes what was appended durable (fsync); more can be appended.
  virtual void sync() = 0;
  /// Makes everything durable (fsync) and closes.
  virtual void close_durably() = 0;
};

/// File operations. All throw UserError with the path and the system's reason.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// A new file: a name that is taken, be it by a link that leads elsewhere, is refused.
  [[nodiscard]] virtual std::unique_ptr<WritableFile> create(const std::filesystem::path& path) = 0;
  [[nodiscard]] virtual std::unique_ptr<WritableFile> open_for_append(const std::filesystem::path& path) = 0;
  /// With every missing folder above it, each made durable in the one above.
  virtual void create_directories(const std::filesystem::path& path) = 0;
  /// Atomic; replaces a file, or a directory that is empty.
  virtual void rename(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
  virtual void remove_all(const std::filesystem::path& path) = 0;
  /// Makes the names in a directory durable (fsync of the directory).
  virtual void sync_directory(const std::filesystem::path& path) = 0;
  /// Bytes that this user may still write to the disk of `path`, or where that does not exist of what would hold it. Nothing
  /// where the system does not tell.
  [[nodiscard]] virtual std::optional<std::int64_t> available_bytes(const std::filesystem::path&) const { return std::nullopt; }
};

/// The operating system's.
[[nodiscard]] std::unique_ptr<FileSystem> make_posix_file_system();

/// Writes `content` beside `path`, makes it durable and renames it into place: readers see the old file or the new one whole.
/// Throws UserError where a device or a pipe stands there.
void write_file_atomically(FileSystem& files, const std::filesystem::path& path, std::string_view content);

/// `path` with ".tmp-" and digits appended to its name, so that nothing stands there: what is written under this name becomes
/// `path` when it is whole. The digits begin with this process's number.
[[nodiscard]] std::filesystem::path temporary_name(const std::filesystem::path& path);
/// The last part of the path that temporary_name makes such a name of; empty where it does not.
[[nodiscard]] std::string name_of_temporary(const std::filesystem::path& path);

/// Whole file as bytes. Throws UserError when it cannot be read or is larger than `max_bytes`.
[[nodiscard]] std::string read_file(const std::filesystem::path& path, std::int64_t max_bytes);

class FileDescriptor;

/// A read-only memory mapping. Throws UserError when the path names no file that can be opened; an empty file maps to an empty
/// span.
///
/// A file that somebody shortens in place while it is mapped takes pages away under the reader, who would be ended by SIGBUS
/// without a word. Mapped ranges are therefore known to a handler that names the file and ends the program with exit code 2.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();
  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Whether the file that was mapped has been written to since: its size or its time of change is another. One that was
  /// replaced under the same name, or removed, lives on in the mapping and counts as unchanged.
  [[nodiscard]] bool was_written() const;

 private:
  friend class Folder;
  MappedFile(const FileDescriptor& file, std::filesystem::path path);

  struct Version {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t size_bytes = 0;
    std::int64_t modified_s = 0;
    std::int64_t modified_ns = 0;
  };

  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  Version version_;
  void* guard_ = nullptr;  // the range, as the handler knows it
};

}  // namespace virgil
