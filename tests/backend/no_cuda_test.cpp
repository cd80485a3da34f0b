#include <gmock/gmock.h>

#include <memory>

#include "support/user_error.h"
#include "virgil/backend/cuda_backend.h"
#include "virgil/dist/nccl_communicator.h"

namespace virgil {
namespace {

TEST(NoCuda, HasNoDeviceAndNothingToComplainOf) {
  EXPECT_EQ(cuda_device_count(), 0);
  EXPECT_EQ(cuda_problem(), "");
}

TEST(NoCuda, SaysWhatABackendWouldNeed) {
  EXPECT_THAT(test_support::user_error_of([] { (void)make_cuda_backend({.device = 1}); }),
              testing::AllOf(testing::HasSubstr("cuda:1"), testing::HasSubstr("no CUDA backend"),
                             testing::HasSubstr("--device cpu"), testing::HasSubstr("VIRGIL_CUDA")));
}

TEST(NoCuda, SaysWhatNcclWouldNeed) {
  EXPECT_FALSE(is_built_with_nccl());
  const std::unique_ptr<Backend> backend = make_cpu_backend({});
  const std::unique_ptr<ProcessGroup> group = make_single_process_group();
  EXPECT_THAT(test_support::user_error_of([&] { (void)make_nccl_communicator(*backend, *group); }),
              testing::AllOf(testing::HasSubstr("NCCL"), testing::HasSubstr("-DVIRGIL_CUDA=ON -DVIRGIL_NCCL=ON")));
}

}  // namespace
}  // namespace virgil
