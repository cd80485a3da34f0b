#include "virgil/base/control_groups.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

namespace virgil {

namespace {

using LimitOfGroup = std::function<std::int64_t(const std::filesystem::path&)>;

/// `controller` is one of the comma-separated names.
bool lists_controller(const std::string& controllers, std::string_view controller) {
  std::istringstream names(controllers);
  for (std::string name; std::getline(names, name, ',');) {
    if (name == controller) return true;
  }
  return false;
}

/// The least that `limit_of` gives for a group and all groups above it. In a container the group's own path is often not
/// mounted, and its limits appear at the mount point: the walk ends there.
std::int64_t least_in_hierarchy(const std::filesystem::path& mount, const std::filesystem::path& group,
                                const LimitOfGroup& limit_of) {
  std::int64_t least = limit_of(mount);
  std::filesystem::path path = mount;
  for (const std::filesystem::path& part : group.relative_path()) {
    path /= part;
    least = std::min(least, limit_of(path));
  }
  return least;
}

}  // namespace

/// Lines of /proc/self/cgroup: "0::/path" (version 2), "7:memory:/path" (version 1).
std::int64_t least_in_groups(const std::filesystem::path& root, std::string_view controller,
                             const std::function<std::int64_t(const std::filesystem::path&, GroupVersion)>& limit_of) {
  std::int64_t least = kNoGroupLimit;
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::filesystem::path group = line.substr(second + 1);
    const std::filesystem::path mount = root / "sys/fs/cgroup";
    const auto least_of = [&](const std::filesystem::path& at, GroupVersion version) {
      return least_in_hierarchy(at, group, [&](const std::filesystem::path& path) { return limit_of(path, version); });
    };
    if (controllers.empty()) least = std::min(least, least_of(mount, GroupVersion::k2));
    if (lists_controller(controllers, controller)) least = std::min(least, least_of(mount / controller, GroupVersion::k1));
  }
  return least;
}

std::optional<std::int64_t> read_group_number(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::int64_t value = 0;
  if (stream >> value) return value;
  return std::nullopt;
}

}  // namespace virgil
