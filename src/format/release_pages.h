// Memory that a mapped file takes in this process once its pages have been read.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include "virgil/format/safetensors.h"

namespace virgil {

/// Gives it back: the tensors are read again from the file when they are looked at. Without it a model would be in memory twice
/// while it is loaded.
inline void release_pages(const SafetensorsFile& file) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (const SafetensorsFile::Entry& entry : file.entries()) {
    // Whole pages of the mapping, which is never written to.
    const auto address = reinterpret_cast<std::uintptr_t>(entry.bytes.data());
    const std::uintptr_t begin = (address + page - 1) / page * page;
    const std::uintptr_t end = (address + entry.bytes.size()) / page * page;
    if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);  // may fail: then nothing changes
  }
}

}  // namespace virgil
