// Time on a device's own clock, of work that is queued on it.
#pragma once

#include <cstddef>
#include <memory>

#include "virgil/backend/backend.h"

namespace virgil {

/// Marks in the order of a backend's ops, each of which gets its time when the device comes to it: neither mark() nor the ops
/// between two marks wait. Must not outlive its backend.
class DeviceTimer {
 public:
  virtual ~DeviceTimer() = default;
  /// Behind all that was asked of the backend so far. The number of the mark: 0, 1, ... since the last reset().
  virtual std::size_t mark() = 0;
  /// From one mark to a later one; waits until the device has come to it.
  [[nodiscard]] virtual double milliseconds_between(std::size_t first, std::size_t second) = 0;
  /// Forgets all marks.
  virtual void reset() = 0;
};

/// Nothing where ops run on the host, whose clock then serves. Defined by the libraries that define make_cuda_backend().
[[nodiscard]] std::unique_ptr<DeviceTimer> make_device_timer(Backend& backend);

}  // namespace virgil
