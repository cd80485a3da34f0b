#include "virgil/dist/launch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace virgil {
namespace {

using testing::HasSubstr;

/// Without what a launcher may have set.
class Launch : public testing::Test {
 protected:
  Launch() { clear(); }
  ~Launch() override { clear(); }

  static void set(const char* name, const char* value) { ASSERT_EQ(setenv(name, value, 1), 0); }

 private:
  static void clear() {
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMI_SIZE", "PMI_RANK", "PMIX_RANK"})
      unsetenv(name);
  }
};

TEST_F(Launch, WithoutALauncherIsOfOneProcess) {
  EXPECT_EQ(launched_processes(), 1);
  EXPECT_FALSE(is_launched());
}

TEST_F(Launch, OfOneProcessIsALauncherToo) {
  set("OMPI_COMM_WORLD_SIZE", "1");
  EXPECT_EQ(launched_processes(), 1);
  EXPECT_TRUE(is_launched());
}

TEST_F(Launch, OfOpenMpiAndOfPmiTellsTheNumber) {
  set("PMI_SIZE", "3");
  EXPECT_EQ(launched_processes(), 3);
  set("OMPI_COMM_WORLD_SIZE", "12");
  EXPECT_EQ(launched_processes(), 12);
}

TEST_F(Launch, ThatTellsOnlyTheRankIsOfAnUnknownNumber) {
  set("PMIX_RANK", "0");
  EXPECT_EQ(launched_processes(), 0);
}

TEST_F(Launch, ThatTellsNonsenseIsOfAnUnknownNumber) {
  set("PMI_RANK", "1");
  for (const char* nonsense : {"", "two", "2x", "0", "-4", "99999999999999999999"}) {
    set("PMI_SIZE", nonsense);
    EXPECT_EQ(launched_processes(), 0) << nonsense;
  }
}

TEST_F(Launch, InASlurmAllocationWithoutSrunIsOfOneProcess) {
  set("SLURM_NTASKS", "4");
  EXPECT_EQ(launched_processes(), 1);
  unsetenv("SLURM_NTASKS");
}

// This program is linked with virgil_no_mpi.

TEST_F(Launch, OfOneProcessNeedsNoMpi) {
  EXPECT_FALSE(is_built_with_mpi());
  EXPECT_EQ(join_process_group({})->size(), 1);
}

TEST_F(Launch, OfSeveralWithoutMpiNamesTheRemedy) {
  set("OMPI_COMM_WORLD_SIZE", "4");
  try {
    (void)join_process_group({});
    ADD_FAILURE() << "there is no way to join the others";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("one of 4 processes"));
    EXPECT_THAT(error.what(), HasSubstr("tools/setup.sh --mpi"));
  }
}

}  // namespace
}  // namespace virgil
