#include "backend/cpu/system_limits.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <string>

#include "support/temporary_directory.h"

namespace virgil::cpu {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMiB = 1 << 20;

/// A root file system with only the files that a test writes.
class SystemLimits : public ::testing::Test {
 protected:
  void SetUp() override { write("proc/meminfo", "MemTotal: 8192 kB\nMemFree: 10 kB\nMemAvailable: 4096 kB\n"); }
  void write(const fs::path& path, const std::string& text) const {
    fs::create_directories((root() / path).parent_path());
    std::ofstream(root() / path) << text;
  }
  [[nodiscard]] fs::path root() const { return directory_.path(); }

 private:
  test_support::TemporaryDirectory directory_;
};

TEST_F(SystemLimits, ReadsAvailableMemory) { EXPECT_EQ(available_memory_bytes(root()), 4 * kMiB); }

TEST_F(SystemLimits, TakesTheTightestVersion2Group) {
  write("proc/self/cgroup", "0::/user.slice/job\n");
  write("sys/fs/cgroup/user.slice/memory.max", "3145728\n");
  write("sys/fs/cgroup/user.slice/memory.current", "1048576\n");
  write("sys/fs/cgroup/user.slice/job/memory.max", "max\n");
  write("sys/fs/cgroup/user.slice/job/memory.current", "1048576\n");
  EXPECT_EQ(available_memory_bytes(root()), 2 * kMiB);
}

TEST_F(SystemLimits, ReadsTheMountPointInsideAContainer) {
  write("proc/self/cgroup", "0::/../outside\n");
  write("sys/fs/cgroup/memory.max", "2097152\n");
  write("sys/fs/cgroup/memory.current", "1048576\n");
  EXPECT_EQ(available_memory_bytes(root()), 1 * kMiB);
}

TEST_F(SystemLimits, CountsReclaimablePagesAsFree) {
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/memory.max", "3145728\n");
  write("sys/fs/cgroup/memory.current", "3145728\n");
  write("sys/fs/cgroup/memory.stat", "anon 1048576\ninactive_file 2097152\n");
  EXPECT_EQ(available_memory_bytes(root()), 2 * kMiB);
}

TEST_F(SystemLimits, ReadsVersion1Groups) {
  write("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a\n");
  write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "2097152\n");
  write("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "524288\n");
  EXPECT_EQ(available_memory_bytes(root()), 2 * kMiB - kMiB / 2);
}

TEST_F(SystemLimits, IsZeroWhenAGroupIsFull) {
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/memory.max", "1048576\n");
  write("sys/fs/cgroup/memory.current", "2097152\n");
  EXPECT_EQ(available_memory_bytes(root()), 0);
}

TEST_F(SystemLimits, KnowsNoLimitWithoutTheFiles) {
  EXPECT_EQ(available_memory_bytes(root() / "nothing"), std::numeric_limits<std::int64_t>::max());
}

TEST_F(SystemLimits, FindsAtLeastOneThread) { EXPECT_GE(available_threads(), 1); }

}  // namespace
}  // namespace virgil::cpu
