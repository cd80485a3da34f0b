#include <gmock/gmock.h>

#include "support/user_error.h"
#include "virgil/backend/cuda_backend.h"

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

}  // namespace
}  // namespace virgil
