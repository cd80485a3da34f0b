// The graphs that cuDNN is asked for: it takes them and finds kernels for them, on devices that are only described to it.
// Nothing is computed here; what the kernels compute, gpu_conformance_tests hold against the reference on a GPU.
#include "cuda/cudnn_attention.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "support/user_error.h"
#include "virgil/base/error.h"

namespace virgil::cuda {
namespace {

using test_support::user_error_of;
using testing::AllOf;
using testing::HasSubstr;

/// A device in the words of cuDNN's CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION (cuDNN 9.8 and later).
std::string device_json(int compute_capability) {
  struct Model {
    const char* name;
    int num_sms, smem_bytes, threads_per_sm;
  };
  const Model model = compute_capability == 80   ? Model{"A100", 108, 166912, 2048}
                      : compute_capability == 90 ? Model{"H100", 132, 232448, 2048}
                                                 : Model{"RTX 4090", 128, 101376, 1536};
  return fmt::format(
      R"({{"deviceName": "{}", "deviceVer": {}, "multiProcessorCount": {}, "maxSharedMemoryPerBlockOptin": {},
           "maxThreadsPerSM": {}, "driverVer": 13000, "cudaDeviceId": 0, "totalGlobalMem": 25769803776,
           "maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64], "regsPerBlock": 65536, "warpSize": 32,
           "maxSharedMemoryPerBlock": 49152, "reservedSharedMemoryPerBlock": 1024, "maxRegistersPerSM": 65536,
           "maxCtasPerSM": 24, "maxThreadsPerBlock": 1024, "pciDeviceId": 0, "isTccDriver": 0, "supportCoopLaunch": 1,
           "smClockRateKHz": 1410000, "memClockRateKHz": 1593000, "l2CacheSize": 41943040}})",
      model.name, 10 * compute_capability, model.num_sms, model.smem_bytes, model.threads_per_sm);
}

AttentionSizes sizes(std::int64_t batch, std::int64_t num_heads, std::int64_t length, std::int64_t head_size,
                     DType dtype = DType::kBFloat16) {
  return {.batch = batch, .length = length, .num_heads = num_heads, .head_size = head_size, .dtype = dtype};
}

class CudnnPlans : public testing::TestWithParam<int> {
 protected:
  static void SetUpTestSuite() {
    // What is loaded under the name libcuda.so.1 is found by everyone who asks for it later.
    ASSERT_NE(dlopen(VIRGIL_STAND_IN_DRIVER, RTLD_NOW | RTLD_GLOBAL), nullptr) << dlerror();
  }
  void SetUp() override {
    try {
      cudnn_ = std::make_unique<CudnnAttention>(LaunchContext{.compute_capability = GetParam()}, device_json(GetParam()));
    } catch (const UserError& error) {
      GTEST_SKIP() << error.what();
    }
  }

  std::unique_ptr<CudnnAttention> cudnn_;
};
INSTANTIATE_TEST_SUITE_P(Devices, CudnnPlans, testing::Values(80, 89, 90),
                         [](const auto& info) { return fmt::format("sm_{}", info.param); });

TEST_P(CudnnPlans, ThereAreKernelsForShapesOfTheConformanceSuite) {
  for (const AttentionSizes& s :
       {sizes(2, 2, 7, 24), sizes(1, 1, 65, 128), sizes(1, 3, 129, 16, DType::kFloat16), sizes(1, 1, 100, 80)}) {
    SCOPED_TRACE(fmt::format("{} positions, head size {}", s.length, s.head_size));
    EXPECT_NO_THROW((void)cudnn_->forward_workspace_bytes(s));
    EXPECT_NO_THROW((void)cudnn_->backward_workspace_bytes(s));
  }
  EXPECT_NO_THROW((void)cudnn_->forward_workspace_bytes(sizes(1, 1, 1, 8)));
}

TEST_P(CudnnPlans, WorkspacesOfATrainingStepAreWithinWhatItsAlgorithmKeeps) {
  // The deterministic backward pass sums a float32 gradient of the queries for each block of 128 keys, after statistics of each
  // row; a part of dq more would be a plan for other tensors.
  const AttentionSizes s = sizes(8, 12, 1024, 64);
  const std::int64_t rows = s.batch * s.num_heads * s.length, dq_bytes = rows * s.head_size * 4;
  EXPECT_LT(cudnn_->forward_workspace_bytes(s), 4096);
  const std::int64_t backward = cudnn_->backward_workspace_bytes(s);
  EXPECT_GE(backward, rows * 4);
  EXPECT_LT(backward, (s.length / 128 + 1) * dq_bytes);
  EXPECT_EQ(cudnn_->backward_workspace_bytes(s), backward);
}

TEST_P(CudnnPlans, SizesWithoutAKernelAreNamedWithTheReason) {
  EXPECT_THAT(user_error_of([&] { (void)cudnn_->backward_workspace_bytes(sizes(3, 2, 1, 8)); }),
              AllOf(HasSubstr("the backward pass of 3 x 2 heads x 1 positions of head size 8 in bfloat16"),
                    HasSubstr("s_q = s_kv = 1 is not supported"), HasSubstr("--attention virgil")));
  EXPECT_THAT(user_error_of([&] { (void)cudnn_->forward_workspace_bytes(sizes(1, 1, 64, 64, DType::kFloat32)); }),
              AllOf(HasSubstr("dtype is float32"), HasSubstr("bfloat16 and float16")));
}

TEST_P(CudnnPlans, NothingIsComputedWithDropoutOrWithoutADevice) {
  const AttentionSizes s = sizes(1, 1, 64, 64);
  Dropout dropout;
  dropout.p = 0.1F;
  EXPECT_THAT(user_error_of([&] { cudnn_->forward(s, nullptr, nullptr, nullptr, dropout, {}); }),
              AllOf(HasSubstr("dropout is 0.1"), HasSubstr("--attention virgil")));
  EXPECT_THROW(cudnn_->forward(s, nullptr, nullptr, nullptr, Dropout{}, {}), InternalError);
}

TEST(CudnnAttention, RefusesGpusBeforeAmpere) {
  const std::string error = user_error_of([] { CudnnAttention(LaunchContext{.compute_capability = 75}, device_json(80)); });
  if (error.find("libcudnn") != error.npos) GTEST_SKIP() << error;
  EXPECT_THAT(error, AllOf(HasSubstr("7.5"), HasSubstr("--attention virgil")));
}

}  // namespace
}  // namespace virgil::cuda
