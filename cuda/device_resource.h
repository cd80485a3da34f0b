// A GPU's memory as a MemoryResource: the one place that allocates from it.
#pragma once

#include <cstdint>

#include "cuda/cuda_traits.h"
#include "virgil/memory/memory_resource.h"

namespace virgil::cuda {

/// Of the device that is current when it is used.
class DeviceResource final : public MemoryResource {
 public:
  static constexpr std::int64_t kAlignment = kDeviceAlignment;
  /// Throws OutOfMemoryError with what the driver says is free.
  [[nodiscard]] void* allocate(std::int64_t size_bytes, const AllocationTag& tag) override;
  void deallocate(void* data, std::int64_t size_bytes, const AllocationTag& tag) noexcept override;
  [[nodiscard]] std::int64_t alignment_bytes() const override { return kAlignment; }
  /// Allocations and deallocations so far.
  [[nodiscard]] std::uint64_t num_changes() const { return num_changes_; }

 private:
  std::uint64_t num_changes_ = 0;
};

/// What the driver says of the current device.
struct DeviceBytes {
  std::int64_t free = 0;
  std::int64_t total = 0;
};
[[nodiscard]] DeviceBytes device_bytes();

}  // namespace virgil::cuda
