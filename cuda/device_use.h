// What is used of a GPU's memory before this process uses any: only NVML tells that without a context of one's own.
#pragma once

#include <cstdint>
#include <optional>

namespace virgil::cuda {

/// Bytes of the device's memory in use by all programs and the driver, as NVML counts; cudaMemGetInfo counts otherwise, so that
/// only differences mean anything. Does not make a context. Nothing where there is no NVML, or it does not know the device.
[[nodiscard]] std::optional<std::int64_t> used_by_all(int device);

}  // namespace virgil::cuda
