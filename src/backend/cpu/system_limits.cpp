#include "backend/cpu/system_limits.h"

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "virgil/base/control_groups.h"
#include "virgil/base/processor_quota.h"

namespace virgil::cpu {

namespace {

namespace fs = std::filesystem;

/// The number after `key` in lines of "key value ...".
std::optional<std::int64_t> read_field(const fs::path& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    std::int64_t value = 0;
    if (words >> name >> value && name == key) return value;
  }
  return std::nullopt;
}

/// File names of one version of control groups.
struct GroupFiles {
  const char* limit;
  const char* usage;
  const char* reclaimable;  // field of memory.stat
};
constexpr GroupFiles kVersion2 = {"memory.max", "memory.current", "inactive_file"};
constexpr GroupFiles kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};

std::int64_t left_in_group(const fs::path& group, const GroupFiles& files) {
  const auto limit = read_group_number(group / files.limit);
  const auto usage = read_group_number(group / files.usage);
  if (!limit || !usage) return kNoGroupLimit;
  const std::int64_t reclaimable = read_field(group / "memory.stat", files.reclaimable).value_or(0);
  return std::max<std::int64_t>(0, *limit - std::max<std::int64_t>(0, *usage - reclaimable));
}

}  // namespace

std::int64_t available_memory_bytes(const fs::path& root) {
  constexpr std::int64_t kBytesPerKiB = 1024;
  const auto available_kib = read_field(root / "proc/meminfo", "MemAvailable:");
  const std::int64_t left = least_in_groups(root, "memory", [](const fs::path& group, GroupVersion version) {
    return left_in_group(group, version == GroupVersion::k2 ? kVersion2 : kVersion1);
  });
  return std::min(available_kib ? *available_kib * kBytesPerKiB : kNoGroupLimit, left);
}

int available_threads(const fs::path& root) {
  const int allowed = std::max(1, std::min(omp_get_max_threads(), omp_get_thread_limit()));
  return threads_within_quota(allowed, root);
}

}  // namespace virgil::cpu
