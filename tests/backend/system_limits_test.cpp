#include "backend/cpu/system_limits.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>
#include <utility>

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

/// Lets OpenMP offer more threads than any of the quotas, whatever the machine has.
class SystemLimitsThreads : public SystemLimits {
 protected:
  void SetUp() override {
    SystemLimits::SetUp();
    omp_set_num_threads(kMostThreads);
    if (const char* value = std::getenv("OMP_NUM_THREADS")) chosen_ = value;
    ::unsetenv("OMP_NUM_THREADS");
  }
  void TearDown() override {
    omp_set_num_threads(before_);
    if (!chosen_.empty()) ::setenv("OMP_NUM_THREADS", chosen_.c_str(), 1);
  }
  static constexpr int kMostThreads = 16;

 private:
  int before_ = omp_get_max_threads();
  std::string chosen_;
};

TEST_F(SystemLimitsThreads, AreBoundedByTheTightestVersion2Quota) {
  write("proc/self/cgroup", "0::/slice/job\n");
  EXPECT_EQ(available_threads(root()), kMostThreads);
  write("sys/fs/cgroup/cpu.max", "max 100000\n");
  write("sys/fs/cgroup/slice/cpu.max", "200000 100000\n");
  write("sys/fs/cgroup/slice/job/cpu.max", "800000 100000\n");
  EXPECT_EQ(available_threads(root()), 2);
}

TEST_F(SystemLimitsThreads, AreBoundedByVersion1Quotas) {
  write("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(available_threads(root()), kMostThreads);
  write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "300000\n");
  write("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(available_threads(root()), 3);
}

TEST_F(SystemLimitsThreads, AreBoundedAtTheMountPointInsideAContainer) {
  write("proc/self/cgroup", "0::/../outside\n");
  write("sys/fs/cgroup/cpu.max", "400000 100000\n");
  EXPECT_EQ(available_threads(root()), 4);
}

TEST_F(SystemLimitsThreads, UsePartsOfAProcessor) {
  write("proc/self/cgroup", "0::/\n");
  for (const auto& [quota, threads] : {std::pair("1000 100000", 1), {"150000 100000", 2}, {"9000000 100000", kMostThreads}}) {
    write("sys/fs/cgroup/cpu.max", quota);
    EXPECT_EQ(available_threads(root()), threads) << quota;
  }
}

TEST_F(SystemLimitsThreads, IgnoreAQuotaThatIsNone) {
  write("proc/self/cgroup", "0::/\n");
  for (const char* quota : {"", "max", "0 100000", "100000", "100000 0", "-5 100000", "rubbish 7"}) {
    write("sys/fs/cgroup/cpu.max", quota);
    EXPECT_EQ(available_threads(root()), kMostThreads) << quota;
  }
}

TEST_F(SystemLimitsThreads, AreAsManyAsOmpNumThreadsAsksFor) {
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/cpu.max", "100000 100000\n");
  ::setenv("OMP_NUM_THREADS", "16", 1);
  EXPECT_EQ(available_threads(root()), kMostThreads);
  ::unsetenv("OMP_NUM_THREADS");
  EXPECT_EQ(available_threads(root()), 1);
}

TEST_F(SystemLimits, FindsAtLeastOneThread) { EXPECT_GE(available_threads(), 1); }

}  // namespace
}  // namespace virgil::cpu
