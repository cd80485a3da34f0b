#include "bench/attention_race.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "bench/call_timer.h"
#include "bench/random_values.h"
#include "virgil/base/error.h"
#include "virgil/base/spread.h"
#include "virgil/machine/device.h"
#include "virgil/memory/buffer.h"

namespace virgil::bench {

namespace {

/// Operands of both passes in a backend's memory.
class Contestant {
 public:
  Contestant(Backend& backend, const AttentionShape& shape)
      : backend_(backend),
        shape_(shape),
        workspace_bytes_(std::max(backend.traits().attention_forward_workspace_bytes(shape),
                                  backend.traits().attention_backward_workspace_bytes(shape))),
        qkv_(tensor(3)),
        dqkv_(tensor(3)),
        out_(tensor(1)),
        dout_(tensor(1)),
        lse_(buffer(shape.batch * shape.num_heads * shape.length * size_of(DType::kFloat32))),
        workspace_(buffer(workspace_bytes_)) {
    fill_with_normal_values(backend_, view(qkv_, 3));
    fill_with_normal_values(backend_, view(dout_, 1));
    backend_.bind_workspace({workspace_.data(), static_cast<std::size_t>(workspace_.size_bytes())});
  }
  ~Contestant() { backend_.bind_workspace({}); }
  Contestant(const Contestant&) = delete;
  Contestant& operator=(const Contestant&) = delete;

  void forward() { backend_.run(ops::AttentionForward{view(out_, 1), lse(), view(qkv_, 3), shape_.num_heads, Dropout{}}); }
  void backward() {
    backend_.run(ops::AttentionBackward{view(dqkv_, 3), view(dout_, 1), view(out_, 1), view(qkv_, 3), lse(), shape_.num_heads,
                                        Dropout{}});
  }
  /// Both passes once more, timed; the first round, which warms up, is not kept.
  void run_round() {
    constexpr int kCalls = 50;
    const double forward_ms = timer_.time(kCalls, [this] { forward(); });
    const double backward_ms = timer_.time(kCalls, [this] { backward(); });
    if (std::exchange(warm_, true)) {
      forward_ms_.push_back(forward_ms);
      backward_ms_.push_back(backward_ms);
    }
  }
  [[nodiscard]] AttentionTimes times() const { return {median(forward_ms_), median(backward_ms_), workspace_bytes_}; }
  [[nodiscard]] const std::vector<double>& forward_ms() const { return forward_ms_; }
  [[nodiscard]] const std::vector<double>& backward_ms() const { return backward_ms_; }

 private:
  [[nodiscard]] Buffer buffer(std::int64_t bytes) {
    return {backend_.memory(), bytes, {MemoryCategory::kWorkspace, "attention race"}};
  }
  [[nodiscard]] Shape shape_of(std::int64_t parts) const {
    return {shape_.batch, shape_.length, parts * shape_.num_heads * shape_.head_size};
  }
  [[nodiscard]] Buffer tensor(std::int64_t parts) { return buffer(shape_of(parts).num_elements() * size_of(shape_.dtype)); }
  [[nodiscard]] TensorView view(const Buffer& memory, std::int64_t parts) const {
    return {memory.data(), shape_.dtype, shape_of(parts)};
  }
  [[nodiscard]] TensorView lse() const {
    return {lse_.data(), DType::kFloat32, {shape_.batch, shape_.num_heads, shape_.length}};
  }

  Backend& backend_;
  CallTimer timer_{backend_};
  AttentionShape shape_;
  std::int64_t workspace_bytes_;
  Buffer qkv_, dqkv_, out_, dout_, lse_, workspace_;
  bool warm_ = false;
  std::vector<double> forward_ms_, backward_ms_;
};

}  // namespace

namespace {

/// How often `ours` fits into `theirs`, round by round.
Spread speed_up(const std::vector<double>& ours, const std::vector<double>& theirs) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < ours.size(); ++i) ratios.push_back(theirs[i] / ours[i]);
  return spread_of(ratios);
}

}  // namespace

AttentionRace race_attention(Backend& backend, Backend& other, const AttentionShape& shape) {
  constexpr int kRounds = 8;
  Contestant ours(backend, shape), theirs(other, shape);
  for (int round = 0; round < kRounds; ++round) {
    ours.run_round();
    theirs.run_round();
  }
  const Shape qkv{shape.batch, shape.length, 3 * shape.num_heads * shape.head_size};
  return {.skipped = {},
          .shape = qkv.to_string(),
          .virgil = ours.times(),
          .cudnn = theirs.times(),
          .forward_ratio = speed_up(ours.forward_ms(), theirs.forward_ms()),
          .backward_ratio = speed_up(ours.backward_ms(), theirs.backward_ms())};
}

AttentionRace race_cudnn(const TrainConfig& config, const MemoryPlan& plan) {
  const AttentionShape shape{.batch = plan.step().batch_size,
                             .length = plan.step().length,
                             .num_heads = plan.model().num_heads,
                             .head_size = plan.model().head_size,
                             .dtype = plan.dtype()};
  NullLogger log;
  const auto make = [&](const char* attention) {
    DeviceRequest request = device_request(config);
    request.attention = attention;
    return make_backend(request, log);
  };
  try {
    const std::unique_ptr<Backend> cudnn = make("cudnn"), virgil = make("virgil");
    return race_attention(*virgil, *cudnn, shape);
  } catch (const UserError& error) {
    AttentionRace race;
    race.skipped = error.what();
    return race;
  }
}

}  // namespace virgil::bench
