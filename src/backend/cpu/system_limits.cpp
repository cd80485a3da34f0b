#include "backend/cpu/system_limits.h"

#include <omp.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>

namespace virgil::cpu {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

/// The number in a file that holds one; nothing for "max", an absent file or rubbish.
std::optional<std::int64_t> read_number(const fs::path& path) {
  std::ifstream file(path);
  std::int64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

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
  const auto limit = read_number(group / files.limit);
  const auto usage = read_number(group / files.usage);
  if (!limit || !usage) return kUnlimited;
  const std::int64_t reclaimable = read_field(group / "memory.stat", files.reclaimable).value_or(0);
  return std::max<std::int64_t>(0, *limit - std::max<std::int64_t>(0, *usage - reclaimable));
}

/// The tightest of a group and all groups above it. In a container the group's own path is often not mounted, and its limits
/// appear at the mount point: the walk ends there.
std::int64_t left_in_hierarchy(const fs::path& mount, const fs::path& group, const GroupFiles& files) {
  std::int64_t left = left_in_group(mount, files);
  fs::path path = mount;
  for (const fs::path& part : group.relative_path()) {
    path /= part;
    left = std::min(left, left_in_group(path, files));
  }
  return left;
}

/// "memory" is one of the comma-separated names.
bool lists_memory(const std::string& controllers) {
  std::istringstream names(controllers);
  for (std::string name; std::getline(names, name, ',');) {
    if (name == "memory") return true;
  }
  return false;
}

/// Lines of /proc/self/cgroup: "0::/path" (version 2), "7:memory:/path" (version 1).
std::int64_t left_in_groups(const fs::path& root) {
  std::int64_t left = kUnlimited;
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path group = line.substr(second + 1);
    const fs::path mount = root / "sys/fs/cgroup";
    if (controllers.empty()) left = std::min(left, left_in_hierarchy(mount, group, kVersion2));
    if (lists_memory(controllers)) {
      left = std::min(left, left_in_hierarchy(mount / "memory", group, kVersion1));
    }
  }
  return left;
}

}  // namespace

std::int64_t available_memory_bytes(const fs::path& root) {
  constexpr std::int64_t kBytesPerKiB = 1024;
  const auto available_kib = read_field(root / "proc/meminfo", "MemAvailable:");
  return std::min(available_kib ? *available_kib * kBytesPerKiB : kUnlimited, left_in_groups(root));
}

int available_threads() { return std::max(1, std::min(omp_get_max_threads(), omp_get_thread_limit())); }

}  // namespace virgil::cpu
