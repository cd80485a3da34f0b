// A backend that computes nothing and notes what each op would read and write, for tests of the model's schedule.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/address_resource.h"
#include "support/fake_traits.h"
#include "virgil/backend/backend.h"

namespace virgil::test_support {

/// One op: where its operands lie. An output that is added to, or updated in place, is also an input.
struct RecordedOp {
  std::vector<ConstTensorView> outputs;
  std::vector<ConstTensorView> inputs;
};

class RecordingBackend : public Backend {
 public:
  [[nodiscard]] const std::vector<RecordedOp>& ops() const { return ops_; }
  void clear() { ops_.clear(); }

  [[nodiscard]] std::string description() const override { return "records, computes nothing"; }
  [[nodiscard]] const BackendTraits& traits() const override { return traits_; }
  [[nodiscard]] MemoryResource& memory() override { return memory_; }
  [[nodiscard]] std::int64_t available_bytes() const override { return std::int64_t{1} << 50; }
  [[nodiscard]] std::span<const DType> dtypes() const override { return kDTypes; }
  void bind_workspace(std::span<std::byte>) override {}
  void synchronize() override {}

  void copy_from_host(TensorView dst, std::span<const std::byte>) override { record({dst}, {}); }
  void copy_to_host(std::span<std::byte>, ConstTensorView src) override { record({}, {src}); }
  void copy(TensorView dst, ConstTensorView src) override { record({dst}, {src}); }
  void set_zero(TensorView dst) override { record({dst}, {}); }
  void convert(TensorView dst, ConstTensorView src) override { record({dst}, {src}); }

  void embedding_forward(TensorView out, ConstTensorView tokens, ConstTensorView wte, ConstTensorView wpe, std::int64_t,
                         const Dropout&) override {
    record({out}, {tokens, wte, wpe});
  }
  void embedding_backward(TensorView dwte, TensorView dwpe, ConstTensorView dout, ConstTensorView tokens,
                          const Dropout&) override {
    record({dwte, dwpe}, {dwte, dwpe, dout, tokens});
  }
  void layernorm_forward(TensorView out, TensorView mean, TensorView rstd, ConstTensorView inp, ConstTensorView weight,
                         ConstTensorView bias) override {
    record({out, mean, rstd}, {inp, weight, bias});
  }
  void residual_layernorm_forward(TensorView residual_out, TensorView out, TensorView mean, TensorView rstd,
                                  ConstTensorView residual, ConstTensorView branch, ConstTensorView weight,
                                  ConstTensorView bias, const Dropout&) override {
    record({residual_out, out, mean, rstd}, {residual, branch, weight, bias});
  }
  void layernorm_backward(TensorView dinp, TensorView dweight, TensorView dbias, ConstTensorView dout, ConstTensorView inp,
                          ConstTensorView weight, ConstTensorView mean, ConstTensorView rstd) override {
    record({dinp, dweight, dbias}, {dinp, dweight, dbias, dout, inp, weight, mean, rstd});
  }
  void dropout_backward(TensorView dinp, ConstTensorView dout, const Dropout&) override { record({dinp}, {dout}); }

  void matmul(TensorView out, ConstTensorView a, ConstTensorView b, ConstTensorView bias,
              const MatmulOptions& options) override {
    record({out}, {a, b, bias, options.accumulate ? ConstTensorView(out) : ConstTensorView{}});
  }
  void bias_backward(TensorView dbias, ConstTensorView dout) override { record({dbias}, {dbias, dout}); }
  void gelu_forward(TensorView out, ConstTensorView inp) override { record({out}, {inp}); }
  void gelu_backward(TensorView dinp, ConstTensorView dout, ConstTensorView inp) override { record({dinp}, {dout, inp}); }
  void matmul_gelu_backward(TensorView dinp, ConstTensorView dout, ConstTensorView weight, ConstTensorView hidden) override {
    record({dinp}, {dout, weight, hidden});
  }

  void attention_forward(TensorView out, TensorView lse, ConstTensorView qkv, std::int64_t, const Dropout&) override {
    record({out, lse}, {qkv});
  }
  void attention_backward(TensorView dqkv, ConstTensorView dout, ConstTensorView out, ConstTensorView qkv, ConstTensorView lse,
                          std::int64_t, const Dropout&) override {
    record({dqkv}, {dout, out, qkv, lse});
  }
  void attention_decode(TensorView out, TensorView k_cache, TensorView v_cache, ConstTensorView qkv, std::int64_t,
                        std::int64_t) override {
    record({out, k_cache, v_cache}, {k_cache, v_cache, qkv});
  }
  void cross_entropy_forward(TensorView losses, ConstTensorView logits, ConstTensorView targets, std::int64_t) override {
    record({losses}, {logits, targets});
  }
  void cross_entropy_forward_backward(TensorView losses, TensorView logits, ConstTensorView targets, std::int64_t,
                                      float) override {
    record({losses, logits}, {logits, targets});
  }
  void reduce_sum(TensorView out, ConstTensorView inp) override { record({out}, {inp}); }
  void l2_norm(TensorView out, ConstTensorView inp, float) override { record({out}, {inp}); }
  void adamw_update(TensorView param, TensorView working, TensorView m, TensorView v, ConstTensorView grad,
                    ConstTensorView norm, const AdamWStep&) override {
    record({param, working, m, v}, {param, m, v, grad, norm});
  }

 private:
  void record(std::initializer_list<TensorView> outputs, std::initializer_list<ConstTensorView> inputs) {
    RecordedOp op;
    for (const TensorView& view : outputs) {
      if (view.present()) op.outputs.emplace_back(view);
    }
    for (const ConstTensorView& view : inputs) {
      if (view.present()) op.inputs.push_back(view);
    }
    ops_.push_back(std::move(op));
  }

  static constexpr std::array kDTypes = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};

  FakeTraits traits_;
  AddressResource memory_;
  std::vector<RecordedOp> ops_;
};

}  // namespace virgil::test_support
