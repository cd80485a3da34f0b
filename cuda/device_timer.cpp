#include "virgil/backend/device_timer.h"

#include <cuda_runtime.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "cuda/cuda_backend.h"
#include "cuda/device/launch.h"
#include "cuda/handles.h"

namespace virgil {

namespace cuda {

namespace {

/// Marks are events on the stream of the backend's ops, kept over resets: making one costs more than recording it.
class EventTimer final : public DeviceTimer {
 public:
  explicit EventTimer(cudaStream_t stream) : stream_(stream) {}

  std::size_t mark() override {
    if (num_marks_ == events_.size()) events_.push_back(make_timed_event());
    check(cudaEventRecord(events_[num_marks_].get(), stream_), "cudaEventRecord");
    return num_marks_++;
  }
  [[nodiscard]] double milliseconds_between(std::size_t first, std::size_t second) override {
    float elapsed_ms = 0;
    check(cudaEventSynchronize(events_.at(second).get()), "cudaEventSynchronize");
    check(cudaEventElapsedTime(&elapsed_ms, events_.at(first).get(), events_.at(second).get()), "cudaEventElapsedTime");
    return elapsed_ms;
  }
  void reset() override { num_marks_ = 0; }

 private:
  cudaStream_t stream_;
  std::vector<Event> events_;
  std::size_t num_marks_ = 0;
};

}  // namespace

}  // namespace cuda

std::unique_ptr<DeviceTimer> make_device_timer(Backend& backend) {
  const auto* device = dynamic_cast<cuda::CudaBackend*>(&backend);
  return device == nullptr ? nullptr : std::make_unique<cuda::EventTimer>(device->launch_context().stream);
}

}  // namespace virgil
