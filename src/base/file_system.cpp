#include "virgil/base/file_system.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "posix_file.h"
#include "virgil/base/error.h"
#include "virgil/base/input_file.h"
#include "virgil/base/nearest_name.h"
#include "virgil/base/paths.h"

namespace virgil {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 18;
constexpr mode_t kNewFileMode = 0666;  // the umask takes its share
constexpr std::string_view kTemporaryMark = ".tmp-";

class PosixWritableFile final : public WritableFile {
 public:
  PosixWritableFile(std::filesystem::path path, int flags)
      : path_(std::move(path)), file_(open_file(path_, O_WRONLY | O_CREAT | flags, kNewFileMode)) {}

  void append(std::span<const std::byte> bytes) override {
    if (buffer_.size() + bytes.size() > kBufferBytes) flush();
    if (bytes.size() >= kBufferBytes) {
      write_all(bytes);
    } else {
      buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    }
  }

  void flush() override {
    write_all(buffer_);
    buffer_.clear();
  }

  void sync() override {
    flush();
    if (retry_interrupted([&] { return ::fsync(file_.get()); }) != 0) throw io_error(path_, "cannot make durable", errno);
  }

  void close_durably() override {
    sync();
    if (::close(file_.release()) != 0) throw io_error(path_, "cannot close", errno);
  }

 private:
  void write_all(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = retry_interrupted([&] { return ::write(file_.get(), bytes.data(), bytes.size()); });
      if (written < 0) throw io_error(path_, "cannot write", errno);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }

  std::filesystem::path path_;
  FileDescriptor file_;
  std::vector<std::byte> buffer_;
};

class PosixFileSystem final : public FileSystem {
 public:
  std::unique_ptr<WritableFile> create(const std::filesystem::path& path) override {
    return std::make_unique<PosixWritableFile>(path, O_EXCL | O_NOFOLLOW);
  }

  std::unique_ptr<WritableFile> open_for_append(const std::filesystem::path& path) override {
    return std::make_unique<PosixWritableFile>(path, O_APPEND);
  }

  void create_directories(const std::filesystem::path& path) override {
    check_path(path);
    std::vector<std::filesystem::path> missing;
    for (std::filesystem::path above = path; !is_there(above); above = above.parent_path()) {
      if (above.has_filename()) missing.push_back(above);
    }
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) throw io_error(path, "cannot create the folder", error.value());
    for (const std::filesystem::path& folder : missing) sync_directory(folder.has_parent_path() ? folder.parent_path() : ".");
  }

  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    check_path(from);
    check_path(to);
    if (::rename(from.c_str(), to.c_str()) != 0) throw io_error(from, fmt::format("cannot rename to {}", to.string()), errno);
  }

  void remove_all(const std::filesystem::path& path) override {
    check_path(path);
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (error) throw io_error(path, "cannot remove", error.value());
  }

  void sync_directory(const std::filesystem::path& path) override {
    const FileDescriptor directory = open_file(path, O_RDONLY | O_DIRECTORY);
    const int result = retry_interrupted([&] { return ::fsync(directory.get()); });
    // Some network file systems cannot fsync a directory and answer EINVAL; there is nothing better to ask them for.
    if (result != 0 && errno != EINVAL) throw io_error(path, "cannot make the folder durable", errno);
  }

  std::optional<std::int64_t> available_bytes(const std::filesystem::path& path) const override {
    std::error_code error;
    std::filesystem::path existing = std::filesystem::absolute(path, error);
    while (!error && !std::filesystem::exists(existing, error) && existing.has_relative_path()) {
      existing = existing.parent_path();
      error.clear();
    }
    struct statvfs disk {};
    if (error || retry_interrupted([&] { return ::statvfs(existing.c_str(), &disk); }) != 0) return std::nullopt;
    const auto block = static_cast<std::uint64_t>(disk.f_frsize);
    // Some network file systems know no limit and say so by zeros, or by more than there can be.
    if (disk.f_blocks == 0 || disk.f_bavail > (std::uint64_t{1} << 62) / std::max<std::uint64_t>(block, 1)) return std::nullopt;
    return static_cast<std::int64_t>(disk.f_bavail * block);
  }

 private:
  /// Where that cannot be told, the attempt to make the folder will tell.
  static bool is_there(const std::filesystem::path& path) {
    struct stat status {};
    return path.empty() || ::stat(path.c_str(), &status) == 0 || errno != ENOENT;
  }
};

}  // namespace

void check_path(const std::filesystem::path& path) {
  for (const std::filesystem::path& name : path) {
    if (name.native().size() > NAME_MAX) throw io_error(path, "cannot be used", ENAMETOOLONG);
  }
  const std::size_t nul = path.native().find('\0');
  if (nul == std::string::npos) return;
  throw user_error("{}: holds a NUL after {} bytes, which no path may; check the path", path.native().substr(0, nul), nul);
}

UserError io_error(const std::filesystem::path& path, std::string_view what, int error_number) {
  std::string remedy;
  if (error_number == ENOSPC || error_number == EDQUOT) remedy = "; free some space or choose another folder";
  if (error_number == EACCES || error_number == EPERM) remedy = "; check the owner and the permissions";
  if (error_number == ENOENT || error_number == ENOTDIR) {
    const std::string near = nearest_path(path);
    remedy = near.empty() ? "; check the path" : fmt::format("; did you mean {}?", near);
  }
  if (error_number == ELOOP) remedy = "; mend the symbolic link, or give the path it should lead to";
  if (error_number == ENAMETOOLONG) remedy = "; choose a shorter name";
  if (error_number == EMFILE || error_number == ENFILE) remedy = "; raise the number of files it may open (ulimit -n)";
  if (error_number == EROFS) remedy = "; choose a folder that can be written to";
  return user_error("{}: {}: {}{}", path.string(), what, std::system_category().message(error_number), remedy);
}

FileDescriptor open_file(const std::filesystem::path& path, int flags, unsigned mode) {
  check_path(path);
  FileDescriptor file(retry_interrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); }));
  if (file.get() < 0) throw io_error(path, "cannot open", errno);
  return file;
}

std::unique_ptr<FileSystem> make_posix_file_system() { return std::make_unique<PosixFileSystem>(); }

std::filesystem::path temporary_name(const std::filesystem::path& path) {
  check_path(path);
  std::filesystem::path name;
  struct stat status {};
  // A process of the same number may have left its own behind.
  for (int n = 0; n == 0 || ::lstat(name.c_str(), &status) == 0; ++n) {
    name = path;
    name += fmt::format("{}{}{}", kTemporaryMark, ::getpid(), n == 0 ? "" : fmt::format("{:04}", n));
  }
  return name;
}

std::string name_of_temporary(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  const std::size_t mark = name.rfind(kTemporaryMark);
  if (mark == std::string::npos) return {};
  const std::string_view digits = std::string_view(name).substr(mark + kTemporaryMark.size());
  const bool is_made_so = !digits.empty() && digits.find_first_not_of("0123456789") == digits.npos;
  return is_made_so ? name.substr(0, mark) : std::string();
}

void write_file_atomically(FileSystem& files, const std::filesystem::path& path, std::string_view content) {
  // The rename would put a file where a device was, and /dev/null would be gone for every program.
  if (kind_of_path(path) == PathKind::kOther) {
    throw user_error("{}: is a device or a pipe, and a file would take its place; name a file", path.string());
  }
  const std::filesystem::path partial = temporary_name(path);
  try {
    const std::unique_ptr<WritableFile> file = files.create(partial);
    file->append(std::as_bytes(std::span(content)));
    file->close_durably();
    files.rename(partial, path);
  } catch (const UserError&) {
    try {
      files.remove_all(partial);
    } catch (const UserError&) {
      // The first error tells more, and a leftover ".tmp-" file is never read.
    }
    throw;
  }
  files.sync_directory(path.has_parent_path() ? path.parent_path() : ".");
}

std::string read_file(const std::filesystem::path& path, std::int64_t max_bytes) {
  InputFile file(path);
  std::string content;
  std::vector<char> piece(kBufferBytes);
  while (const std::size_t count = file.read(piece)) {
    content.append(piece.data(), count);
    if (static_cast<std::int64_t>(content.size()) > max_bytes) {
      throw user_error("{}: larger than the {} bytes such a file may have; is it the right file?", path.string(), max_bytes);
    }
  }
  return content;
}

}  // namespace virgil
