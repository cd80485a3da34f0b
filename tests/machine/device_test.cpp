#include "virgil/machine/device.h"

#include <gmock/gmock.h>

#include "support/half_backend.h"
#include "support/user_error.h"
#include "virgil/config/device_name.h"
#include "virgil/plan/run_plan.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using testing::HasSubstr;
using testing::IsEmpty;

// These run without CUDA, whatever the machine has: the tests are linked with virgil_no_cuda.

TEST(Device, AutomaticIsTheCpuWhereThereIsNoOther) {
  RecordingLogger log;
  EXPECT_THAT(make_backend({.threads = 1}, log)->description(), HasSubstr("cpu: 1 thread,"));
  EXPECT_THAT(make_backend({.device = "cpu", .threads = 2}, log)->description(), HasSubstr("cpu: 2 threads,"));
  EXPECT_THAT(log.lines(), IsEmpty());
}

TEST(Device, ACudaDeviceThatIsNotThereNamesTheRemedy) {
  NullLogger log;
  for (const char* device : {"cuda", "cuda:3"}) {
    EXPECT_THAT(user_error_of([&] { (void)make_backend({.device = device}, log); }),
                testing::AllOf(HasSubstr("no CUDA backend"), HasSubstr("--device cpu")));
  }
}

TEST(Device, RefusesWhatIsNoDevice) {
  NullLogger log;
  for (const char* device : {"", "gpu", "cuda:", "cuda:-1", "cuda:1x", "cuda:99999999999"}) {
    EXPECT_THAT(check_device(device), HasSubstr("choose auto, cpu, cuda or cuda:N"));
    EXPECT_THAT(user_error_of([&] { (void)make_backend({.device = device}, log); }), HasSubstr("is not a device"));
  }
  for (const char* device : {"auto", "cpu", "cuda", "cuda:0", "cuda:12"}) EXPECT_EQ(check_device(device), "");
}

TEST(Device, AttentionByCudnnIsNotForTheCpu) {
  NullLogger log;
  for (const char* device : {"auto", "cpu"}) {
    EXPECT_THAT(user_error_of([&] { (void)make_backend({.device = device, .attention = "cudnn"}, log); }),
                testing::AllOf(HasSubstr("attention is cudnn"), HasSubstr("CPU"), HasSubstr("--attention virgil")));
  }
}

TEST(Device, SaysWhatItsMemoryHoldsBeforeThePlan) {
  test_support::HalfBackend backend(make_cpu_backend({.num_threads = 1}));
  EXPECT_EQ(describe_device(backend), backend.description());
  EXPECT_EQ(name_of_free_memory(backend), "free on this machine");
  constexpr std::int64_t kGiB = std::int64_t{1} << 30;
  backend.device = {.total_bytes = 24 * kGiB, .free_bytes = 23 * kGiB, .context_bytes = 312 << 20};
  EXPECT_EQ(describe_device(backend), backend.description() + "; context 312.0 MiB, 23.00 GiB of 24.00 GiB free");
  EXPECT_EQ(name_of_free_memory(backend), "free on the device");
}

}  // namespace
}  // namespace virgil
