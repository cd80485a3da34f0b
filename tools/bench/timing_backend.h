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
  void copy(TensorView dst, ConstTensorView src) override { inner_.copy(dst, src); }
  void set_zero(TensorView dst) override;
  void convert(TensorView dst, ConstTensorView src) override { inner_.convert(dst, src); }
  void synchronize() override { inner_.synchronize(); }

  void embedding_forward(TensorView out, ConstTensorView tokens, ConstTensorView wte, ConstTensorView wpe,
                         std::int64_t first_position, const Dropout& dropout) override;
  void embedding_backward(TensorView dwte, TensorView dwpe, ConstTensorView dout, ConstTensorView tokens,
                          const Dropout& dropout) override;
  void layernorm_forward(TensorView out, TensorView mean, TensorView rstd, ConstTensorView inp, ConstTensorView weight,
                         ConstTensorView bias) override;
  void residual_layernorm_forward(TensorView residual_out, TensorView out, TensorView mean, TensorView rstd,
                                  ConstTensorView residual, ConstTensorView branch, ConstTensorView weight,
                                  ConstTensorView bias, const Dropout& dropout) override;
  void layernorm_backward(TensorView dinp, TensorView dweight, TensorView dbias, ConstTensorView dout, ConstTensorView inp,
                          ConstTensorView weight, ConstTensorView mean, ConstTensorView rstd) override;
  void dropout_backward(TensorView dinp, ConstTensorView dout, const Dropout& dropout) override;
  void matmul(TensorView out, ConstTensorView a, ConstTensorView b, ConstTensorView bias,
              const MatmulOptions& options) override;
  void bias_backward(TensorView dbias, ConstTensorView dout) override;
  void gelu_forward(TensorView out, ConstTensorView inp) override;
  void gelu_backward(TensorView dinp, ConstTensorView dout, ConstTensorView inp) override;
  void matmul_gelu_backward(TensorView dinp, ConstTensorView dout, ConstTensorView weight, ConstTensorView hidden) override;
  void attention_forward(TensorView out, TensorView lse, ConstTensorView qkv, std::int64_t num_heads,
                         const Dropout& dropout) override;
  void attention_backward(TensorView dqkv, ConstTensorView dout, ConstTensorView out, ConstTensorView qkv, ConstTensorView lse,
                          std::int64_t num_heads, const Dropout& dropout) override;
  void attention_decode(TensorView out, TensorView k_cache, TensorView v_cache, ConstTensorView qkv, std::int64_t num_heads,
                        std::int64_t first_position) override;
  void cross_entropy_forward(TensorView losses, ConstTensorView logits, ConstTensorView targets,
                             std::int64_t vocab_size) override;
  void cross_entropy_forward_backward(TensorView losses, TensorView logits, ConstTensorView targets, std::int64_t vocab_size,
                                      float grad_scale) override;
  void reduce_sum(TensorView out, ConstTensorView inp) override;
  void l2_norm(TensorView out, ConstTensorView inp, float scale) override;
  void adamw_update(TensorView param, TensorView working, TensorView m, TensorView v, ConstTensorView grad,
                    ConstTensorView norm, const AdamWStep& step) override;

 private:
  template <typename Op>
  void time(const std::string& name, const std::string& shape, const std::string& family, const OpCost& cost, const Op& op);

  /// An op whose time the device has yet to tell.
  struct Pending {
    std::string name, shape, family;
    OpCost cost;
    std::size_t first_mark, last_mark;
  };

  Backend& inner_;
  OpTimer& timer_;
  std::unique_ptr<DeviceTimer> device_timer_;  // null: the host's clock
  std::vector<Pending> pending_;
};

}  // namespace virgil::bench
