// Time of processors that the system grants this process (Linux).
#pragma once

#include <cstdint>
#include <filesystem>

namespace virgil {

/// As many processors, rounded up, as the process's control groups (version 1 or 2) grant time of: 2 under `docker run --cpus
/// 2`. INT64_MAX where they set no quota. `root` is the file system's root, another one in tests.
[[nodiscard]] std::int64_t processor_quota(const std::filesystem::path& root = "/");

/// Of `allowed` threads, those that the quota lets run at once; all of them where OMP_NUM_THREADS says how many are wanted.
[[nodiscard]] int threads_within_quota(int allowed, const std::filesystem::path& root = "/");

}  // namespace virgil
