// Fixtures of the simulator's own tests.
#pragma once

#include <gmock/gmock.h>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "cuda/sim/simt.h"
#include "cuda_sim/faulty_kernels.h"
#include "cuda_sim/kernel_test.h"

namespace virgil::cuda {

/// 1, 2, 3, ...
inline std::vector<float> counting(int count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 1.0F);
  return values;
}

class Simulator : public KernelTest {
 protected:
  /// The message of a fault that no order of things may hide.
  template <typename Work>
  void expect_fault(Work&& work, const ::testing::Matcher<std::string>& message) {
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) EXPECT_THAT(fault_of(seed, work), message) << "seed " << seed;
  }
};

class Streams : public Simulator {
 protected:
  void SetUp() override {
    Simulator::SetUp();
    check(cudaStreamCreateWithFlags(&other_.stream, cudaStreamNonBlocking), "cudaStreamCreate");
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreate");
  }
  void TearDown() override {
    simt::reset_error();
    cudaEventDestroy(event_);
    cudaStreamDestroy(other_.stream);
    Simulator::TearDown();
  }
  /// 1 on one stream, then 2 on the other, with or without the event that orders them.
  void write_on_two_streams(float* out, bool ordered) {
    faulty::fill(context(), out, 1.0F, 100);
    if (ordered) {
      check(cudaEventRecord(event_, context().stream), "cudaEventRecord");
      check(cudaStreamWaitEvent(other_.stream, event_), "cudaStreamWaitEvent");
    }
    faulty::fill(other_, out, 2.0F, 100);
  }

  LaunchContext other_;
  cudaEvent_t event_ = nullptr;
};

}  // namespace virgil::cuda
