// Ranks that are threads, each with a played device, a CUDA backend and NCCL.
#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cuda/sim/control.h"
#include "support/thread_group.h"
#include "virgil/backend/cuda_backend.h"
#include "virgil/dist/communicator.h"
#include "virgil/dist/nccl_communicator.h"
#include "virgil/memory/buffer.h"

namespace virgil::test_support {

/// A tensor of the device, zero at first.
class DeviceTensor {
 public:
  DeviceTensor(Backend& backend, DType dtype, std::int64_t count)
      : backend_(backend),
        buffer_(backend.memory(), std::max<std::int64_t>(1, count * size_of(dtype)), {MemoryCategory::kGradients, "tensor"}),
        view_(buffer_.data(), dtype, {count}) {
    backend.run(ops::SetZero{view_});
  }
  DeviceTensor(Backend& backend, std::span<const float> values)
      : DeviceTensor(backend, DType::kFloat32, static_cast<std::int64_t>(values.size())) {
    backend.copy_from_host(view_, std::as_bytes(values));
  }

  [[nodiscard]] TensorView view() const { return view_; }
  [[nodiscard]] std::vector<std::byte> bytes() const {
    std::vector<std::byte> bytes(static_cast<std::size_t>(view_.size_bytes()));
    backend_.copy_to_host(bytes, view_);
    return bytes;
  }
  [[nodiscard]] std::vector<float> floats() const {
    std::vector<float> values(static_cast<std::size_t>(view_.num_elements()));
    backend_.copy_to_host(std::as_writable_bytes(std::span(values)), view_);
    return values;
  }

 private:
  Backend& backend_;
  Buffer buffer_;
  TensorView view_;
};

/// A group that a test can make impatient, and leave after a broadcast.
class TestGroup final : public ProcessGroup {
 public:
  explicit TestGroup(ProcessGroup& group) : group_(group), timeout_(group.timeout()) {}
  void set_timeout(std::chrono::milliseconds timeout) { timeout_ = timeout; }
  void after_broadcast(std::function<void()> action) { after_broadcast_ = std::move(action); }

  [[nodiscard]] int rank() const override { return group_.rank(); }
  [[nodiscard]] int size() const override { return group_.size(); }
  [[nodiscard]] std::string description() const override { return group_.description(); }
  [[nodiscard]] std::string name_of(int rank) const override { return group_.name_of(rank); }
  [[nodiscard]] int local_rank() const override { return group_.local_rank(); }
  [[nodiscard]] int local_size() const override { return group_.local_size(); }
  [[nodiscard]] std::chrono::milliseconds timeout() const override { return timeout_; }
  void all_gather(std::span<std::byte> all, std::span<const std::byte> mine) override { group_.all_gather(all, mine); }
  void gather(std::span<std::byte> all, std::span<const std::byte> mine, int root) override { group_.gather(all, mine, root); }
  void broadcast(std::span<std::byte> data, int root) override {
    group_.broadcast(data, root);
    if (after_broadcast_) after_broadcast_();
  }
  void barrier() override { group_.barrier(); }
  [[nodiscard]] std::unique_ptr<OutsideWait> wait_outside(std::string where, std::chrono::milliseconds timeout) override {
    return group_.wait_outside(std::move(where), timeout);
  }
  [[nodiscard]] std::unique_ptr<Communicator> make_host_communicator() override { return group_.make_host_communicator(); }
  [[noreturn]] void abort(int exit_status) override {
    group_.abort(exit_status);
    std::abort();  // the compiler does not see that nobody comes here
  }

 private:
  ProcessGroup& group_;
  std::chrono::milliseconds timeout_;
  std::function<void()> after_broadcast_;
};

/// The calling thread's part of a group that computes on played devices.
class DeviceRank {
 public:
  DeviceRank(ProcessGroup& group, std::uint64_t seed, const simt::DeviceModel& model = {}) : group_(group) {
    simt::set_device(model);
    simt::set_schedule(simt::schedule_of(seed == 0 ? 0 : seed * 64 + static_cast<std::uint64_t>(group.rank())));
    backend_ = make_cuda_backend({});
  }

  /// All ranks call it.
  void connect() {
    const std::int64_t bytes = communicator_staging_bytes(CommunicatorKind::kNccl, group_.size(), DType::kBFloat16);
    staging_ = Buffer(backend_->memory(), bytes, {MemoryCategory::kWorkspace, "staging"});
    communicator_ = make_nccl_communicator(*backend_, group_);
    communicator_->bind_staging({staging_.data(), static_cast<std::size_t>(bytes)});
  }
  void disconnect() { communicator_.reset(); }

  [[nodiscard]] TestGroup& group() { return group_; }
  [[nodiscard]] Backend& backend() const { return *backend_; }
  [[nodiscard]] Communicator& communicator() const { return *communicator_; }
  [[nodiscard]] int number() const { return group_.rank(); }
  [[nodiscard]] int size() const { return group_.size(); }
  [[nodiscard]] DeviceTensor tensor(std::span<const float> values) const { return {*backend_, values}; }

 private:
  simt::OwnDevice device_;  // outlives the backend
  TestGroup group_;
  std::unique_ptr<Backend> backend_;
  Buffer staging_;
  std::unique_ptr<Communicator> communicator_;
};

/// A summand whose order matters: exponents over 16 binades, both signs, never NaN.
inline float value_of(int rank, std::size_t i) {
  std::uint32_t word = static_cast<std::uint32_t>(i) * 2654435761U ^ static_cast<std::uint32_t>(rank + 1) * 0x9E3779B9U;
  word ^= word >> 15;
  word *= 0x2C1B3C6DU;
  word ^= word >> 12;
  return std::bit_cast<float>((word & 0x807FFFFFU) | (120U + ((word >> 23) & 15U)) << 23);
}

inline std::vector<float> values_of(int rank, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = value_of(rank, i);
  return values;
}

/// Runs body(rank) in `num_ranks` threads that are connected; see run_ranks().
inline void run_device_ranks(int num_ranks, std::uint64_t seed, const std::function<void(DeviceRank&)>& body) {
  run_ranks(num_ranks, [&](ProcessGroup& group) {
    DeviceRank rank(group, seed);
    rank.connect();
    body(rank);
  });
}

/// The messages of the exceptions that `body` ends with, by rank; "" where it has none.
inline std::vector<std::string> messages_of(int num_ranks, const std::function<void(ProcessGroup&)>& body) {
  std::vector<std::string> messages(static_cast<std::size_t>(num_ranks));
  run_ranks(num_ranks, [&](ProcessGroup& group) {
    try {
      body(group);
    } catch (const std::exception& error) {
      messages[static_cast<std::size_t>(group.rank())] = error.what();
    }
  });
  return messages;
}

}  // namespace virgil::test_support
