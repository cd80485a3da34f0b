// What a test of a kernel in the simulator needs; docs/simulator.md shows one in ten lines.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "cuda/device/launch.h"
#include "cuda/sim/control.h"

namespace virgil::cuda {

/// An array in the played device's memory.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(count) {
    check(cudaMalloc(reinterpret_cast<void**>(&data_), count * sizeof(T)), "cudaMalloc");
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    check(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  [[nodiscard]] T* data() { return data_; }
  [[nodiscard]] std::vector<T> values() const {
    std::vector<T> values(count_);
    check(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_ = 0;
};

/// Runs under each of some seeds; a fault is the simulator's message, empty for a sound run.
class KernelTest : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kSeeds = 20;

  void SetUp() override {
    check(cudaStreamCreateWithFlags(&context_.stream, cudaStreamNonBlocking), "cudaStreamCreate");
    context_.smem_limits = &smem_limits_;
  }
  void TearDown() override {
    simt::reset_error();
    cudaStreamDestroy(context_.stream);
    simt::set_schedule(simt::schedule_of(0));
  }

  [[nodiscard]] const LaunchContext& context() const { return context_; }
  /// What the simulator says of `work` under a seed. It is ready for other work afterwards.
  template <typename Work>
  std::string fault_of(std::uint64_t seed, Work&& work) {
    simt::reset_error();
    simt::set_schedule(simt::schedule_of(seed));
    try {
      work();
      check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    } catch (const CudaError& error) {
      const std::string fault = simt::last_error().empty() ? error.what() : simt::last_error();
      simt::reset_error();
      return fault;
    }
    return "";
  }

 private:
  SharedMemoryLimits smem_limits_;
  LaunchContext context_;
};

}  // namespace virgil::cuda
