#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <utility>

#include "mapped_ranges.h"
#include "posix_file.h"
#include "virgil/base/file_system.h"

namespace virgil {

namespace {

FileDescriptor open_to_map(const std::filesystem::path& path) {
  std::int64_t size_bytes = 0;  // the mapping looks for itself
  return open_regular_file(path, size_bytes);
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : MappedFile(open_to_map(path), path) {}

MappedFile::MappedFile(const FileDescriptor& file, std::filesystem::path path) : path_(std::move(path)) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw io_error(path_, "cannot read", errno);
  version_ = {status.st_dev, status.st_ino, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  if (status.st_size == 0) return;  // mmap refuses empty mappings
  const auto size = static_cast<std::size_t>(status.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) throw io_error(path_, "cannot map into memory", errno);
  data_ = static_cast<const std::byte*>(data);
  size_ = size;
  // A page that ends behind the file's last byte can be read to its end; the handler is asked for whole pages only.
  guard_ = remember_mapped_range(bytes(), path_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      version_(other.version_),
      guard_(std::exchange(other.guard_, nullptr)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(version_, other.version_);
  std::swap(guard_, other.guard_);
  return *this;
}

MappedFile::~MappedFile() {
  forget_mapped_range(guard_);
  // munmap takes a mutable pointer for a mapping that was never writable.
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

bool MappedFile::was_written() const {
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0) return false;
  if (status.st_dev != version_.device || status.st_ino != version_.inode) return false;
  return status.st_size != version_.size_bytes || status.st_mtim.tv_sec != version_.modified_s ||
         status.st_mtim.tv_nsec != version_.modified_ns;
}

}  // namespace virgil
