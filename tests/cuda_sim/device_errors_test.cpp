// What the CUDA backend tells of devices, drivers and libraries that refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cuda/device/launch.h"
#include "cuda/missing_code.h"
#include "cuda/sim/control.h"
#include "support/user_error.h"
#include "virgil/backend/cuda_backend.h"
#include "virgil/base/error.h"
#include "virgil/memory/buffer.h"

namespace virgil::cuda {
namespace {

using test_support::user_error_of;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr int kAllocFailed = 3, kInternalError = 14;  // of cublasStatus_t

class DeviceErrors : public testing::Test {
 protected:
  ~DeviceErrors() override {
    simt::set_device({});
    simt::plant_cublaslt_answers({});
    simt::reset_error();
  }

  static std::string refusal_of(const simt::DeviceModel& device) {
    simt::set_device(device);
    return user_error_of([] { static_cast<void>(make_cuda_backend({})); });
  }
};

TEST(DeviceContext, IsCountedWithoutWhatOtherProgramsHold) {
  constexpr std::int64_t kOthers = 100 << 20, kUpload = 4 << 20;
  for (const bool has_nvml : {true, false}) {
    const simt::OwnDevice device;
    simt::set_device({.others_bytes = kOthers, .has_nvml = has_nvml});
    const auto memory = make_cuda_backend({})->device_memory();
    ASSERT_TRUE(memory);
    const std::int64_t used = memory->total_bytes - memory->free_bytes;
    if (has_nvml) {
      EXPECT_GE(memory->context_bytes, kUpload);
      EXPECT_EQ(memory->context_bytes, used - kOthers);
      EXPECT_EQ(memory->others_bytes, kOthers);
    } else {
      EXPECT_EQ(memory->context_bytes, used);
    }
  }
}

TEST_F(DeviceErrors, NameAGpuOlderThanAllCode) {
  EXPECT_THAT(refusal_of({.compute_capability = 70, .kernel_error = cudaErrorNoKernelImageForDevice}),
              AllOf(HasSubstr("device cuda:0: SIMT simulator (sm_70) is older than sm_75"), HasSubstr("--device cpu"),
                    Not(HasSubstr("VIRGIL_CUDA_ARCHITECTURES"))));
}

TEST_F(DeviceErrors, NameTheArchitectureToBuildFor) {
  for (const int error : {int{cudaErrorNoKernelImageForDevice}, int{cudaErrorInvalidDeviceFunction}}) {
    EXPECT_THAT(refusal_of({.compute_capability = 89, .kernel_error = error}),
                AllOf(HasSubstr("(sm_89) has no code in this program"), HasSubstr("-DVIRGIL_CUDA_ARCHITECTURES=89")));
  }
}

TEST_F(DeviceErrors, NameADriverThatDoesNotReadThePtx) {
  const std::string told =
      refusal_of({.compute_capability = 89, .driver_version = 12040, .kernel_error = cudaErrorUnsupportedPtxVersion});
  EXPECT_THAT(told, AllOf(HasSubstr("the driver, for CUDA 12.4, is older than the PTX"), HasSubstr("install a newer driver"),
                          HasSubstr("-DVIRGIL_CUDA_ARCHITECTURES=native"), Not(HasSubstr("has no code"))));
  EXPECT_THAT(describe_missing_code(cudaErrorUnsupportedPtxVersion, {.name = "GPU", .compute_capability = 89}),
              HasSubstr("the driver is older than the PTX"));
}

TEST_F(DeviceErrors, RepeatTheRuntimesWordsOfAnythingElse) {
  EXPECT_THAT(refusal_of({.kernel_error = cudaErrorInitializationError}),
              AllOf(HasSubstr("cannot load this program's kernels: cudaErrorInitializationError"), Not(HasSubstr("no code"))));
}

TEST_F(DeviceErrors, TellACublasLtWithoutMemoryAsOutOfMemory) {
  simt::plant_cublaslt_answers({.create = kAllocFailed});
  try {
    static_cast<void>(make_cuda_backend({}));
    FAIL() << "nothing thrown";
  } catch (const OutOfMemoryError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("device cuda:0"), HasSubstr("cublasLtCreate: CUBLAS_STATUS_ALLOC_FAILED"),
                                    Not(HasSubstr("product"))));
  }
}

TEST_F(DeviceErrors, TellAFailureOfCublasLtsCreationWithoutAProduct) {
  simt::plant_cublaslt_answers({.create = kInternalError});
  try {
    static_cast<void>(make_cuda_backend({}));
    FAIL() << "nothing thrown";
  } catch (const CudaError& error) {
    EXPECT_STREQ(error.what(), "cublasLtCreate: CUBLAS_STATUS_INTERNAL_ERROR");
  }
}

TEST_F(DeviceErrors, TellAProductWithoutMemoryAsOutOfMemory) {
  const auto backend = make_cuda_backend({});
  const Buffer memory(backend->memory(), 3072, {MemoryCategory::kData, "test"});
  const auto matrix = [&](std::size_t i) { return TensorView(memory.data() + 1024 * i, DType::kFloat32, {8, 8}); };
  const Buffer scratch(backend->memory(), 64 << 20, {MemoryCategory::kWorkspace, "test"});
  backend->bind_workspace({scratch.data(), static_cast<std::size_t>(scratch.size_bytes())});
  for (const simt::CublasLtAnswers& answers : {simt::CublasLtAnswers{.search = kAllocFailed}, {.multiply = kAllocFailed}}) {
    simt::plant_cublaslt_answers(answers);
    try {
      backend->run(ops::Matmul{matrix(0), matrix(1), matrix(2), {}, {}});
      FAIL() << "nothing thrown";
    } catch (const OutOfMemoryError& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr("no memory left on the GPU"), HasSubstr("CUBLAS_STATUS_ALLOC_FAILED"),
                                      HasSubstr("8 x 8 x 8"), HasSubstr("MiB are free"), HasSubstr("batch_size")));
    }
  }
}

}  // namespace
}  // namespace virgil::cuda
