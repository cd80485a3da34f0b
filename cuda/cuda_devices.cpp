// Which devices there are, and what stands in the way of using them.
#include <cuda_runtime.h>
#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "cuda/cuda_backend.h"
#include "cuda/device_use.h"
#include "cuda/kernels/probe.h"
#include "cuda/missing_code.h"
#include "virgil/backend/cuda_backend.h"
#include "virgil/base/error.h"

namespace virgil {

namespace {

/// The number of devices, or the runtime's reason why there is none.
cudaError_t count_devices(int& count) {
  count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    count = 0;
    static_cast<void>(cudaGetLastError());
  }
  return status;
}

/// The current device can run what is compiled in.
void check_code(int device) {
  const cudaError_t status = cuda::probe_kernels();
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  cudaDeviceProp properties{};
  cuda::check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  int driver_version = 0;
  static_cast<void>(cudaDriverGetVersion(&driver_version));
  throw user_error("device cuda:{}: {}; or use --device cpu", device,
                   cuda::describe_missing_code(status, {.name = properties.name,
                                                        .compute_capability = 10 * properties.major + properties.minor,
                                                        .driver_version = driver_version}));
}

}  // namespace

int cuda_device_count() {
  int count = 0;
  static_cast<void>(count_devices(count));
  return count;
}

std::string cuda_problem() {
  int count = 0;
  const cudaError_t status = count_devices(count);
  if (count > 0) return {};
  if (status == cudaErrorInsufficientDriver) {
    int driver = 0, runtime = 0;
    static_cast<void>(cudaDriverGetVersion(&driver));
    static_cast<void>(cudaRuntimeGetVersion(&runtime));
    if (driver == 0) return "no NVIDIA driver is installed";
    return fmt::format("the NVIDIA driver is for CUDA {}, this program for {}: install a newer driver",
                       cuda::version_text(driver), cuda::version_text(runtime));
  }
  if (status == cudaErrorNoDevice || status == cudaSuccess) return "there is no NVIDIA GPU";
  return fmt::format("{}: {}", cudaGetErrorName(status), cudaGetErrorString(status));
}

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  const int count = cuda_device_count();
  if (count == 0) throw user_error("device cuda:{}: {}; use --device cpu", options.device, cuda_problem());
  if (options.device < 0 || options.device >= count) {
    throw user_error("device is cuda:{}, and there {}: use --device cuda:{} or below, or look at CUDA_VISIBLE_DEVICES",
                     options.device, count == 1 ? "is one, cuda:0" : fmt::format("are {}, from cuda:0", count), count - 1);
  }
  try {
    const std::optional<std::int64_t> used_before = cuda::used_by_all(options.device);
    cuda::check(cudaSetDevice(options.device), "cudaSetDevice");
    check_code(options.device);
    return std::make_unique<cuda::CudaBackend>(options, used_before);
  } catch (const cuda::CudaError& error) {
    if (error.code() != cudaErrorMemoryAllocation) throw;
    throw OutOfMemoryError(fmt::format("device cuda:{}: no memory is left for the CUDA context ({}); close what uses the GPU",
                                       options.device, error.what()));
  }
}

}  // namespace virgil
