#include "virgil/base/processor_quota.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "virgil/base/control_groups.h"

namespace virgil {

namespace {

/// Processors that a quota of time in each period comes to, rounded up; at least one.
std::int64_t processors_of(std::int64_t quota_us, std::int64_t period_us) {
  if (quota_us <= 0 || period_us <= 0) return kNoGroupLimit;  // -1: no quota
  return quota_us / period_us + (quota_us % period_us == 0 ? 0 : 1);
}

std::int64_t processors_of_group(const std::filesystem::path& group, GroupVersion version) {
  if (version == GroupVersion::k1) {
    return processors_of(read_group_number(group / "cpu.cfs_quota_us").value_or(-1),
                         read_group_number(group / "cpu.cfs_period_us").value_or(-1));
  }
  std::ifstream file(group / "cpu.max");  // "200000 100000", "max 100000"
  std::int64_t quota_us = 0;
  std::int64_t period_us = 0;
  return file >> quota_us >> period_us ? processors_of(quota_us, period_us) : kNoGroupLimit;
}

}  // namespace

std::int64_t processor_quota(const std::filesystem::path& root) { return least_in_groups(root, "cpu", processors_of_group); }

int threads_within_quota(int allowed, const std::filesystem::path& root) {
  if (std::getenv("OMP_NUM_THREADS") != nullptr) return allowed;
  return static_cast<int>(std::min<std::int64_t>(allowed, processor_quota(root)));
}

}  // namespace virgil
