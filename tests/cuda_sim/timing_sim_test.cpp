// bench's timing of ops on a device with a clock of its own, in the simulator.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "bench/call_timer.h"
#include "bench/op_timer.h"
#include "bench/timing_backend.h"
#include "virgil/backend/backend.h"
#include "virgil/backend/cuda_backend.h"
#include "virgil/backend/device_timer.h"
#include "virgil/memory/buffer.h"

namespace virgil::bench {
namespace {

using testing::Gt;
using testing::IsEmpty;
using testing::SizeIs;

class DeviceTiming : public testing::Test {
 protected:
  static constexpr std::int64_t kElements = 512;

  [[nodiscard]] TensorView x() const { return {memory_.data(), DType::kFloat32, {kElements}}; }
  [[nodiscard]] TensorView y() const { return {memory_.data() + kElements * 4, DType::kFloat32, {kElements}}; }

  std::unique_ptr<Backend> backend_ = make_cuda_backend({});
  Buffer memory_{backend_->memory(), 2 * kElements * 4, {MemoryCategory::kData, "test"}};
};

TEST_F(DeviceTiming, HasNoClockOfTheHost) { EXPECT_EQ(make_device_timer(*make_cpu_backend({.num_threads = 1})), nullptr); }

TEST_F(DeviceTiming, MarksEncloseWhatWasAskedForBetweenThem) {
  const std::unique_ptr<DeviceTimer> timer = make_device_timer(*backend_);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(timer->mark(), 0U);
    backend_->run(ops::SetZero{x()});
    EXPECT_EQ(timer->mark(), 1U);
    backend_->run(ops::GeluForward{y(), x()});
    EXPECT_EQ(timer->mark(), 2U);
    const double both_ms = timer->milliseconds_between(0, 2);
    EXPECT_GT(timer->milliseconds_between(1, 2), 0);
    EXPECT_NEAR(both_ms, timer->milliseconds_between(0, 1) + timer->milliseconds_between(1, 2), 1e-4 * both_ms + 1e-6);
    timer->reset();
  }
}

TEST_F(DeviceTiming, OpsAreToldAtTheEndOfARound) {
  OpTimer times;
  TimingBackend timing(*backend_, times);
  for (int round = 0; round < 2; ++round) {
    timing.begin_round();
    timing.run(ops::SetZero{x()});
    for (int i = 0; i < 3; ++i) timing.run(ops::GeluForward{y(), x()});
    if (round == 0) {
      EXPECT_THAT(times.timings(), IsEmpty()) << "the host has waited";
    }
    timing.end_round();
  }
  const std::vector<OpTiming> timings = times.timings();
  ASSERT_THAT(timings, SizeIs(2));
  const std::size_t gelu = timings[0].label.name == "gelu_forward" ? 0 : 1;
  EXPECT_EQ(timings[gelu].calls, 3);
  EXPECT_EQ(timings[1 - gelu].calls, 1);
  EXPECT_THAT(timings[gelu].ms, Gt(0));
  EXPECT_EQ(timings[gelu].cost.bytes, 2 * kElements * 4);
}

TEST_F(DeviceTiming, CallsAreCounted) {
  CallTimer timer(*backend_);
  int calls = 0;
  EXPECT_TRUE(timer.on_device());
  const double ms = timer.time(7, [&] {
    backend_->run(ops::GeluForward{y(), x()});
    ++calls;
  });
  EXPECT_GT(ms, 0);
  EXPECT_EQ(calls, 7);
}

}  // namespace
}  // namespace virgil::bench
