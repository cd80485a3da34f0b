#include "cuda/device_resource.h"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>

#include "cuda/device/launch.h"
#include "virgil/base/error.h"

namespace virgil::cuda {

void* DeviceResource::allocate(std::int64_t size_bytes, const AllocationTag& tag) {
  void* data = nullptr;
  ++num_changes_;
  const cudaError_t status = cudaMalloc(&data, static_cast<std::size_t>(size_bytes));
  if (status == cudaSuccess) return data;
  static_cast<void>(cudaGetLastError());  // a refused allocation leaves the device usable
  if (status != cudaErrorMemoryAllocation) check(status, "cudaMalloc");
  constexpr double kMiB = 1 << 20;
  throw OutOfMemoryError(fmt::format("the GPU has no {:.1f} MiB for {} ({}): {:.1f} MiB of its memory are free",
                                     static_cast<double>(size_bytes) / kMiB, tag.name, name_of(tag.category),
                                     static_cast<double>(device_bytes().free) / kMiB));
}

void DeviceResource::deallocate(void* data, std::int64_t /*size_bytes*/, const AllocationTag& /*tag*/) noexcept {
  ++num_changes_;
  static_cast<void>(cudaFree(data));
}

DeviceBytes device_bytes() {
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return {static_cast<std::int64_t>(free), static_cast<std::int64_t>(total)};
}

}  // namespace virgil::cuda
