// The simulator itself: planted faults are found and named, sound kernels are left alone, in every order of things.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cuda_sim/simulator_fixtures.h"

namespace virgil::cuda {
namespace {

using faulty::Fault;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(Simulator, RunsSoundKernelsUnderEverySeed) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    DeviceArray<float> in(counting(256)), out(256);
    EXPECT_EQ(fault_of(seed, [&] { faulty::rotate(context(), out.data(), in.data(), Fault::kNone); }), "") << seed;
    for (int i = 0; i < 64; ++i) EXPECT_EQ(out.values()[static_cast<std::size_t>(i)], static_cast<float>((i + 2) % 64 + 1));
    EXPECT_EQ(fault_of(seed, [&] { faulty::swap_neighbours(context(), out.data(), in.data(), Fault::kNone); }), "") << seed;
    for (int i = 0; i < 64; ++i) EXPECT_EQ(out.values()[static_cast<std::size_t>(i)], static_cast<float>((i ^ 1) + 1));
    EXPECT_EQ(fault_of(seed, [&] { faulty::copy_async(context(), out.data(), in.data(), Fault::kNone); }), "") << seed;
    for (int i = 0; i < 256; ++i) EXPECT_EQ(out.values()[static_cast<std::size_t>(i)], static_cast<float>((i ^ 4) + 1));
  }
}

TEST_F(Simulator, NamesBothLinesOfADivergentBarrier) {
  DeviceArray<float> in(counting(64)), out(64);
  expect_fault([&] { faulty::rotate(context(), out.data(), in.data(), Fault::kDivergentBarrier); },
               AllOf(HasSubstr("divergent barrier"), HasSubstr("faulty_kernels.cu:23"), HasSubstr("faulty_kernels.cu:25")));
}

TEST_F(Simulator, ReportsADeadlockWhenHalfAWarpShuffles) {
  DeviceArray<float> in(counting(64)), out(64);
  expect_fault([&] { faulty::swap_neighbours(context(), out.data(), in.data(), Fault::kHalfOfAWarpShuffles); },
               AllOf(HasSubstr("deadlock"), HasSubstr("threads 0-15, 32-47 wait in __shfl_xor_sync at faulty_kernels.cu:39"),
                     HasSubstr("threads 16-31, 48-63 have exited")));
}

TEST_F(Simulator, ReportsADeadlockWhenALaneHasExited) {
  DeviceArray<float> in(counting(64)), out(64);
  expect_fault([&] { faulty::swap_neighbours(context(), out.data(), in.data(), Fault::kLaneHasExited); },
               AllOf(HasSubstr("deadlock"), HasSubstr("threads 32-62 wait"), HasSubstr("63 have exited")));
}

TEST_F(Simulator, FindsLanesAtDifferentCollectives) {
  DeviceArray<float> in(counting(64)), out(64);
  expect_fault([&] { faulty::swap_neighbours(context(), out.data(), in.data(), Fault::kLanesDiverge); },
               AllOf(HasSubstr("divergent warp"), HasSubstr("__shfl_xor_sync"), HasSubstr("__shfl_down_sync")));
}

TEST_F(Simulator, FindsAMisalignedAsynchronousCopy) {
  DeviceArray<float> in(counting(256)), out(256);
  expect_fault([&] { faulty::copy_async(context(), out.data(), in.data(), Fault::kMisaligned); },
               AllOf(HasSubstr("cp.async"), HasSubstr("not 16-byte aligned"), HasSubstr("faulty_kernels.cu")));
}

TEST_F(Simulator, KeepsTheDataOfAnUnwaitedCopyBack) {
  // Undefined on a GPU: here the values are NaN whenever the seed makes copies late.
  if (simt::racing()) return;  // which names it, see below
  simt::Schedule late;
  late.late_copies = true;
  simt::set_schedule(late);
  DeviceArray<float> in(counting(256)), out(256);
  faulty::copy_async(context(), out.data(), in.data(), Fault::kUnwaitedCopy);
  EXPECT_TRUE(std::isnan(out.values()[0]));
}

TEST_F(Streams, RunUnorderedWorkInAnyOrder) {
  bool first_was_last = false, second_was_last = false;
  for (std::uint64_t seed = 1; seed < 40; ++seed) {
    DeviceArray<float> out(100);
    if (!fault_of(seed, [&] { write_on_two_streams(out.data(), false); }).empty()) continue;  // the race build names it
    (out.values()[99] == 1.0F ? first_was_last : second_was_last) = true;
  }
  EXPECT_TRUE(simt::racing() || (first_was_last && second_was_last));
}

TEST_F(Streams, KeepTheOrderOfEvents) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    DeviceArray<float> out(100);
    EXPECT_EQ(fault_of(seed, [&] { write_on_two_streams(out.data(), true); }), "") << "seed " << seed;
    EXPECT_EQ(out.values()[99], 2.0F) << "seed " << seed;
  }
}

TEST_F(Streams, ShowTheHostNothingBeforeItWaits) {
  simt::Schedule lazy;
  lazy.lazy_streams = true;
  simt::set_schedule(lazy);
  DeviceArray<float> out(100);
  float seen = -1;
  faulty::fill(context(), out.data(), 3.0F, 100);
  check(cudaMemcpyAsync(&seen, out.data(), sizeof seen, cudaMemcpyDeviceToHost, context().stream), "cudaMemcpyAsync");
  EXPECT_EQ(seen, -1.0F);
  check(cudaStreamSynchronize(context().stream), "cudaStreamSynchronize");
  EXPECT_EQ(seen, 3.0F);
}

class Runtime : public KernelTest {};

TEST_F(Runtime, RefusesMoreSharedMemoryThanTheDeviceHas) {
  simt::set_device({.compute_capability = 86});
  const auto* kernel = reinterpret_cast<const void*>(&faulty::fill);
  EXPECT_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 99 * 1024), cudaSuccess);
  EXPECT_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 * 1024), cudaErrorInvalidValue);
  simt::set_device({});
}

TEST_F(Runtime, RefusesALaunchWithoutTheSharedMemoryItWasAllowed) {
  cudaLaunchConfig_t config{};
  config.dynamicSmemBytes = 64 * 1024;
  EXPECT_EQ(cudaLaunchKernelEx(
                &config, +[](int) {}, 1),
            cudaErrorInvalidValue);
  config.dynamicSmemBytes = 0;
  config.blockDim = 1025;
  EXPECT_EQ(cudaLaunchKernelEx(
                &config, +[](int) {}, 1),
            cudaErrorInvalidConfiguration);
}

TEST_F(Runtime, CountsMemoryAndRefusesTooMuch) {
  simt::set_device({.memory_bytes = std::int64_t{100} << 20});
  std::size_t free_before = 0, free_after = 0, total = 0;
  check(cudaMemGetInfo(&free_before, &total), "cudaMemGetInfo");
  void* data = nullptr;
  check(cudaMalloc(&data, 1 << 20), "cudaMalloc");
  check(cudaMemGetInfo(&free_after, &total), "cudaMemGetInfo");
  EXPECT_EQ(free_before - free_after, std::size_t{1} << 20);
  void* more = nullptr;
  EXPECT_EQ(cudaMalloc(&more, std::size_t{200} << 20), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaFree(data), cudaSuccess);
  EXPECT_EQ(cudaFree(&total), cudaErrorInvalidValue);
  static_cast<void>(cudaGetLastError());
  simt::set_device({});
}

TEST_F(Runtime, PlaysADeviceForEachThreadThatWantsOne) {
  DeviceArray<float> mine(counting(64));
  std::set<std::string> uuids;
  std::mutex guard;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      const simt::OwnDevice device;
      simt::set_device({.compute_capability = 80 + t});
      simt::set_schedule(simt::schedule_of(static_cast<std::uint64_t>(t)));
      LaunchContext context;
      check(cudaStreamCreateWithFlags(&context.stream, cudaStreamNonBlocking), "cudaStreamCreate");
      cudaDeviceProp properties{};
      check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
      EXPECT_EQ(properties.minor, t);
      {
        DeviceArray<float> in(counting(64)), out(64);
        for (int i = 0; i < 50; ++i) faulty::rotate(context, out.data(), in.data(), Fault::kNone);
        check(cudaStreamSynchronize(context.stream), "cudaStreamSynchronize");
        EXPECT_EQ(out.values()[0], 3.0F);
        EXPECT_EQ(cudaMemset(mine.data(), 0, 4), cudaErrorInvalidValue) << "another device's memory";
        static_cast<void>(cudaGetLastError());
        const auto run = [&](Fault fault) {
          faulty::rotate(context, out.data(), in.data(), fault);
          check(cudaStreamSynchronize(context.stream), "cudaStreamSynchronize");
        };
        if (t == 1) {
          EXPECT_THROW(run(Fault::kDivergentBarrier), CudaError);
        }
        EXPECT_EQ(simt::last_error().empty(), t != 1) << "an error is one device's";
        simt::reset_error();
      }
      cudaStreamDestroy(context.stream);
      const std::scoped_lock lock(guard);
      uuids.insert(std::string(properties.uuid.bytes, sizeof properties.uuid.bytes));
    });
  }
  threads.clear();
  EXPECT_EQ(uuids.size(), 3U);
  EXPECT_EQ(mine.values()[63], 64.0F);
}

#if defined(__SANITIZE_ADDRESS__)
using SimulatorDeathTest = Simulator;

TEST_F(SimulatorDeathTest, FindsAnAccessBeyondSharedMemory) {
  DeviceArray<float> in(counting(64)), out(64);
  EXPECT_DEATH(faulty::rotate(context(), out.data(), in.data(), Fault::kSharedOutOfBounds), "use-after-poison|out of bounds");
}

TEST_F(SimulatorDeathTest, FindsAnAccessBeyondAnAllocation) {
  DeviceArray<float> in(counting(64)), out(64);
  EXPECT_DEATH(faulty::rotate(context(), out.data(), in.data(), Fault::kGlobalOutOfBounds), "use-after-poison|out of bounds");
}
#endif

}  // namespace
}  // namespace virgil::cuda
