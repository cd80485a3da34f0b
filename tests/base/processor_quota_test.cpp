#include "virgil/base/processor_quota.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "support/temporary_directory.h"

namespace virgil {
namespace {

/// A root file system with only the files that a test writes, and no wish for a number of threads.
class ProcessorQuota : public testing::Test {
 protected:
  void SetUp() override {
    if (const char* value = std::getenv("OMP_NUM_THREADS")) chosen_ = value;
    ::unsetenv("OMP_NUM_THREADS");
  }
  void TearDown() override {
    ::unsetenv("OMP_NUM_THREADS");
    if (!chosen_.empty()) ::setenv("OMP_NUM_THREADS", chosen_.c_str(), 1);
  }
  void write(const std::filesystem::path& path, const std::string& text) const {
    std::filesystem::create_directories((root() / path).parent_path());
    std::ofstream(root() / path) << text;
  }
  [[nodiscard]] std::filesystem::path root() const { return directory_.path(); }

 private:
  test_support::TemporaryDirectory directory_;
  std::string chosen_;
};

TEST_F(ProcessorQuota, BoundsThreads) {
  EXPECT_EQ(processor_quota(root()), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(threads_within_quota(16, root()), 16);
  write("proc/self/cgroup", "0::/job\n");
  write("sys/fs/cgroup/job/cpu.max", "250000 100000\n");
  EXPECT_EQ(processor_quota(root()), 3);
  EXPECT_EQ(threads_within_quota(16, root()), 3);
  EXPECT_EQ(threads_within_quota(2, root()), 2);
}

TEST_F(ProcessorQuota, GivesWayToTheUsersNumber) {
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/cpu.max", "200000 100000\n");
  ::setenv("OMP_NUM_THREADS", "16", 1);
  EXPECT_EQ(threads_within_quota(16, root()), 16);
}

}  // namespace
}  // namespace virgil
