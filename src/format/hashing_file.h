// A file that is hashed while it is written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "virgil/base/file_system.h"
#include "virgil/base/sha256.h"
#include "virgil/format/safetensors.h"

namespace virgil {

class HashingFile {
 public:
  HashingFile(FileSystem& files, const std::filesystem::path& path) : file_(files.create(path)) {}

  void append(std::span<const std::byte> bytes) {
    file_->append(bytes);
    digest_.update(bytes);
    size_bytes_ += static_cast<std::int64_t>(bytes.size());
  }

  [[nodiscard]] WrittenFile close_durably() {
    file_->close_durably();
    return {digest_.finish(), size_bytes_};
  }

 private:
  std::unique_ptr<WritableFile> file_;
  Sha256 digest_;
  std::int64_t size_bytes_ = 0;
};

}  // namespace virgil
