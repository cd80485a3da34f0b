// How much there is to read, for progress.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <system_error>

namespace virgil {

/// Bytes of all files together; one that is not there counts nothing.
[[nodiscard]] inline std::int64_t file_bytes(std::span<const std::filesystem::path> files) {
  std::int64_t total = 0;
  for (const std::filesystem::path& file : files) {
    std::error_code error;
    const std::uintmax_t size = std::filesystem::file_size(file, error);
    if (!error) total += static_cast<std::int64_t>(size);
  }
  return total;
}

}  // namespace virgil
