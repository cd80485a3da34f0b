// How long calls of a backend take, by the best clock for it.
#pragma once

#include <cstddef>
#include <memory>

#include "bench/op_timer.h"
#include "virgil/backend/backend.h"
#include "virgil/backend/device_timer.h"

namespace virgil::bench {

class CallTimer {
 public:
  explicit CallTimer(Backend& backend) : backend_(backend), device_(make_device_timer(backend)) {}

  /// Whether a device's own clock times calls; then one that is queued alone is timed with its start.
  [[nodiscard]] bool on_device() const { return device_ != nullptr; }
  /// Milliseconds of a call, the mean of `count` queued one behind the other.
  template <typename Call>
  [[nodiscard]] double time(int count, const Call& call) {
    backend_.synchronize();
    if (on_device()) device_->reset();
    const std::size_t first = on_device() ? device_->mark() : 0;
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < count; ++i) call();
    if (on_device()) return device_->milliseconds_between(first, device_->mark()) / count;
    backend_.synchronize();
    return milliseconds_since(start) / count;
  }

 private:
  Backend& backend_;
  std::unique_ptr<DeviceTimer> device_;  // null: the host's clock
};

}  // namespace virgil::bench
