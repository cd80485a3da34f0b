// What the system still grants this process: memory and processors, containers included (Linux).
#pragma once

#include <cstdint>
#include <filesystem>

namespace virgil::cpu {

/// Bytes that an allocation could still get: MemAvailable of /proc/meminfo, or what the limits of the process's control groups
/// (version 1 or 2; memory that the kernel can reclaim from the page cache counts as free) leave, if less. INT64_MAX where the
/// system tells nothing. `root` is the file system's root, another one in tests.
[[nodiscard]] std::int64_t available_memory_bytes(const std::filesystem::path& root = "/");

/// Threads that run at once: OMP_NUM_THREADS if set, else the processors of the affinity mask, or as many (rounded up) as the
/// process's control groups grant time of (`docker run --cpus 2`), if less; never more than OMP_THREAD_LIMIT.
[[nodiscard]] int available_threads(const std::filesystem::path& root = "/");

}  // namespace virgil::cpu
