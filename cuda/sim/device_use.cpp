// What NVML tells of a played device.
#include "cuda/device_use.h"

#include <cstdint>
#include <optional>

#include "cuda/sim/played_device.h"

namespace virgil::cuda {

std::optional<std::int64_t> used_by_all(int /*device*/) {
  const simt::Turn turn;
  const simt::PlayedDevice& device = simt::played_device();
  if (!device.model.has_nvml) return std::nullopt;
  const std::int64_t own = device.has_context ? simt::kContextBytes + static_cast<std::int64_t>(device.memory.used_bytes()) : 0;
  return device.model.others_bytes + own;
}

}  // namespace virgil::cuda
