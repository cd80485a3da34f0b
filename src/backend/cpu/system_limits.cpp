#include "backend/cpu/system_limits.h"

#include <omp.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

#include "virgil/backend/processor_quota.h"

namespace virgil {

namespace cpu {

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

/// `controller` is one of the comma-separated names.
bool lists(const std::string& controllers, std::string_view controller) {
  std::istringstream names(controllers);
  for (std::string name; std::getline(names, name, ',');) {
    if (name == controller) return true;
  }
  return false;
}

enum class GroupVersion : std::uint8_t { k1, k2 };

/// The least that `limit_of` gives for a group and all groups above it. In a container the group's own path is often not
/// mounted, and its limits appear at the mount point: the walk ends there.
template <typename LimitOf>
std::int64_t least_in_hierarchy(const fs::path& mount, const fs::path& group, const LimitOf& limit_of) {
  std::int64_t least = limit_of(mount);
  fs::path path = mount;
  for (const fs::path& part : group.relative_path()) {
    path /= part;
    least = std::min(least, limit_of(path));
  }
  return least;
}

/// The least that `limit_of(group, version)` gives for the process's groups of a controller and all groups above them. Lines of
/// /proc/self/cgroup: "0::/path" (version 2), "7:memory:/path" (version 1).
template <typename LimitOf>
std::int64_t least_in_groups(const fs::path& root, std::string_view controller, const LimitOf& limit_of) {
  std::int64_t least = kUnlimited;
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path group = line.substr(second + 1);
    const fs::path mount = root / "sys/fs/cgroup";
    if (controllers.empty()) {
      least = std::min(
          least, least_in_hierarchy(mount, group, [&](const fs::path& path) { return limit_of(path, GroupVersion::k2); }));
    }
    if (lists(controllers, controller)) {
      least = std::min(least, least_in_hierarchy(mount / controller, group,
                                                 [&](const fs::path& path) { return limit_of(path, GroupVersion::k1); }));
    }
  }
  return least;
}

/// Processors that a quota of time in each period comes to, rounded up; at least one.
std::int64_t processors_of(std::int64_t quota_us, std::int64_t period_us) {
  if (quota_us <= 0 || period_us <= 0) return kUnlimited;  // -1: no quota
  return quota_us / period_us + (quota_us % period_us == 0 ? 0 : 1);
}

std::int64_t processors_of_group(const fs::path& group, GroupVersion version) {
  if (version == GroupVersion::k1) {
    return processors_of(read_number(group / "cpu.cfs_quota_us").value_or(-1),
                         read_number(group / "cpu.cfs_period_us").value_or(-1));
  }
  std::ifstream file(group / "cpu.max");  // "200000 100000", "max 100000"
  std::int64_t quota_us = 0;
  std::int64_t period_us = 0;
  return file >> quota_us >> period_us ? processors_of(quota_us, period_us) : kUnlimited;
}

}  // namespace

std::int64_t available_memory_bytes(const fs::path& root) {
  constexpr std::int64_t kBytesPerKiB = 1024;
  const auto available_kib = read_field(root / "proc/meminfo", "MemAvailable:");
  const std::int64_t left = least_in_groups(root, "memory", [](const fs::path& group, GroupVersion version) {
    return left_in_group(group, version == GroupVersion::k2 ? kVersion2 : kVersion1);
  });
  return std::min(available_kib ? *available_kib * kBytesPerKiB : kUnlimited, left);
}

}  // namespace cpu

std::int64_t processor_quota(const std::filesystem::path& root) {
  return cpu::least_in_groups(root, "cpu", cpu::processors_of_group);
}

namespace cpu {

int available_threads(const fs::path& root) {
  const int allowed = std::max(1, std::min(omp_get_max_threads(), omp_get_thread_limit()));
  if (std::getenv("OMP_NUM_THREADS") != nullptr) return allowed;
  return static_cast<int>(std::min<std::int64_t>(allowed, processor_quota(root)));
}

}  // namespace cpu

}  // namespace virgil
