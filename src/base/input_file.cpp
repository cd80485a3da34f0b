#include "virgil/base/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "posix_file.h"

namespace virgil {
namespace {

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe (FIFO)";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  if (S_ISSOCK(mode)) return "a socket";
  return "of a special kind";
}

void check_regular(const std::filesystem::path& path, mode_t mode) {
  if (S_ISREG(mode)) return;
  throw user_error("{}: is {}, not a regular file; give the path of a file", path.string(), kind_of(mode));
}

}  // namespace

FileDescriptor open_regular_file(const std::filesystem::path& path, std::int64_t& size_bytes) {
  struct stat status {};
  check_path(path);
  // Looked at before it is opened: opening alone may already do something to a device.
  if (::stat(path.c_str(), &status) != 0) throw io_error(path, "cannot open", errno);
  check_regular(path, status.st_mode);
  FileDescriptor file = open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);  // it may be another one by now
  if (::fstat(file.get(), &status) != 0) throw io_error(path, "cannot read", errno);
  check_regular(path, status.st_mode);
  size_bytes = status.st_size;
  return file;
}

FileDescriptor open_regular_file_in(int directory, const std::string& name, const std::filesystem::path& path) {
  check_path(name);
  FileDescriptor file(
      retry_interrupted([&] { return ::openat(directory, name.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); }));
  struct stat status {};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) throw io_error(path, "cannot open", errno);
  check_regular(path, status.st_mode);
  return file;
}

InputFile::InputFile(std::filesystem::path path)
    : path_(std::move(path)), descriptor_(open_regular_file(path_, size_bytes_).release()) {}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), size_bytes_(other.size_bytes_), descriptor_(std::exchange(other.descriptor_, -1)) {}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::size_t InputFile::read(std::span<char> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t count = retry_interrupted([&] { return ::read(descriptor_, out.data() + done, out.size() - done); });
    if (count < 0) throw io_error(path_, "cannot read", errno);
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

}  // namespace virgil
