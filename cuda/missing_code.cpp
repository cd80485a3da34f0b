#include "cuda/missing_code.h"

#include <fmt/format.h>

#include "virgil/backend/cuda_backend.h"

namespace virgil::cuda {

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

std::string describe_missing_code(cudaError_t status, const ProbedDevice& device) {
  const int capability = device.compute_capability;
  const std::string gpu = fmt::format("{} (sm_{})", device.name, capability);
  if (capability < kLeastComputeCapability) {
    return fmt::format("{} is older than sm_{}, from which on Virgil's kernels run: use a newer GPU", gpu,
                       kLeastComputeCapability);
  }
  switch (status) {
    case cudaErrorUnsupportedPtxVersion: {
      const std::string driver =
          device.driver_version == 0 ? "" : fmt::format(", for CUDA {},", version_text(device.driver_version));
      return fmt::format(
          "the driver{} is older than the PTX that this program has for {}, and compiles none of it ({}): install a newer driver, "
          "or build with code for this GPU, -DVIRGIL_CUDA_ARCHITECTURES=native",
          driver, gpu, cudaGetErrorName(status));
    }
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
      return fmt::format("{} has no code in this program ({}): build it with -DVIRGIL_CUDA_ARCHITECTURES={}", gpu,
                         cudaGetErrorName(status), capability);
    default:
      return fmt::format("{} cannot load this program's kernels: {}: {}", gpu, cudaGetErrorName(status),
                         cudaGetErrorString(status));
  }
}

}  // namespace virgil::cuda
