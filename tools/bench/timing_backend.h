// A Backend that times every op of another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bench/op_timer.h"
#include "virgil/backend/backend.h"
#include "virgil/backend/device_timer.h"

namespace virgil::bench {

/// Hands everything on to `inner` and tells `timer` what each op took. Where the device has a clock of its own, nothing waits,
/// and the times are told at the end of a round; elsewhere each op is waited for. Owns neither.
class TimingBackend final : public Backend {
 public:
  TimingBackend(Backend& inner, OpTimer& timer) : inner_(inner), timer_(timer), device_timer_(make_device_timer(inner)) {}

  /// To be called around what repeats, such as a step.
  void begin_round() { timer_.begin_round(); }
  /// What the ops from now on belong to; kStepPhase until it is called.
  void begin_phase(const char* phase) { phase_ = phase; }
  /// Waits for the device's times of the round.
  void end_round();

  [[nodiscard]] std::string description() const override { return inner_.description(); }
  [[nodiscard]] const BackendTraits& traits() const override { return inner_.traits(); }
  [[nodiscard]] MemoryResource& memory() override { return inner_.memory(); }
  [[nodiscard]] std::int64_t available_bytes() const override { return inner_.available_bytes(); }
  [[nodiscard]] std::optional<DeviceMemory> device_memory() const override { return inner_.device_memory(); }
  [[nodiscard]] std::span<const DType> dtypes() const override { return inner_.dtypes(); }
  void bind_workspace(std::span<std::byte> workspace) override { inner_.bind_workspace(workspace); }
  void copy_from_host(TensorView dst, std::span<const std::byte> src) override { inner_.copy_from_host(dst, src); }
  void copy_to_host(std::span<std::byte> dst, ConstTensorView src) override { inner_.copy_to_host(dst, src); }
  void synchronize() override { inner_.synchronize(); }
  void run(const Call& call) override;

 private:
  /// An op whose time the device has yet to tell.
  struct Pending {
    Call call;
    const char* phase;
    std::size_t first_mark, last_mark;
  };

  Backend& inner_;
  OpTimer& timer_;
  std::unique_ptr<DeviceTimer> device_timer_;  // null: the host's clock
  std::vector<Pending> pending_;
  const char* phase_ = kStepPhase;
};

}  // namespace virgil::bench
