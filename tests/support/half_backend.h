// Another backend that also takes float16: tensors are stored in it, arithmetic is the other's in float32. Slow, and what a
// device that computes in float16 with float32 accumulation would store. Its memory must be the host's.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "virgil/backend/backend.h"
#include "virgil/memory/buffer.h"

namespace virgil::test_support {

/// Scratch of the float32 ops that stand for those in float16.
class HalfTraits final : public BackendTraits {
 public:
  explicit HalfTraits(const BackendTraits& inner) : inner_(inner) {}
  [[nodiscard]] std::int64_t alignment_bytes() const override { return inner_.alignment_bytes(); }
  [[nodiscard]] LogitsChunk logits_chunk() const override { return inner_.logits_chunk(); }
  [[nodiscard]] std::int64_t matmul_workspace_bytes(const MatmulShape& shape) const override {
    MatmulShape wide = shape;
    wide.dtype = widened(shape.dtype);
    wide.out_dtype = widened(shape.out_dtype);
    return inner_.matmul_workspace_bytes(wide);
  }
  [[nodiscard]] std::int64_t attention_forward_workspace_bytes(const AttentionShape& shape) const override {
    return inner_.attention_forward_workspace_bytes(widened(shape));
  }
  [[nodiscard]] std::int64_t attention_backward_workspace_bytes(const AttentionShape& shape) const override {
    return inner_.attention_backward_workspace_bytes(widened(shape));
  }
  [[nodiscard]] std::int64_t attention_decode_workspace_bytes(const AttentionShape& shape) const override {
    return inner_.attention_decode_workspace_bytes(widened(shape));
  }
  [[nodiscard]] std::int64_t layernorm_backward_workspace_bytes(std::int64_t rows, std::int64_t channels) const override {
    return inner_.layernorm_backward_workspace_bytes(rows, channels);
  }
  [[nodiscard]] std::int64_t bias_backward_workspace_bytes(std::int64_t rows, std::int64_t channels) const override {
    return inner_.bias_backward_workspace_bytes(rows, channels);
  }
  [[nodiscard]] std::int64_t embedding_backward_workspace_bytes(std::int64_t rows, std::int64_t channels,
                                                                std::int64_t vocab_rows) const override {
    return inner_.embedding_backward_workspace_bytes(rows, channels, vocab_rows);
  }
  [[nodiscard]] std::int64_t reduction_workspace_bytes(std::int64_t num_elements) const override {
    return inner_.reduction_workspace_bytes(num_elements);
  }

 private:
  static DType widened(DType dtype) { return dtype == DType::kFloat16 ? DType::kFloat32 : dtype; }
  static AttentionShape widened(AttentionShape shape) {
    shape.dtype = widened(shape.dtype);
    return shape;
  }
  const BackendTraits& inner_;
};

class HalfBackend : public Backend {
 public:
  explicit HalfBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)), traits_(inner_->traits()) {}

  /// What device_memory() tells.
  std::optional<DeviceMemory> device;
  /// While set, every norm is infinite.
  bool overflows = false;

  [[nodiscard]] std::string description() const override { return "float16 over " + inner_->description(); }
  [[nodiscard]] const BackendTraits& traits() const override { return traits_; }
  [[nodiscard]] MemoryResource& memory() override { return inner_->memory(); }
  [[nodiscard]] std::int64_t available_bytes() const override { return inner_->available_bytes(); }
  [[nodiscard]] std::optional<DeviceMemory> device_memory() const override { return device; }
  [[nodiscard]] std::span<const DType> dtypes() const override { return kDTypes; }
  void bind_workspace(std::span<std::byte> workspace) override { inner_->bind_workspace(workspace); }
  void synchronize() override { inner_->synchronize(); }
  void copy_from_host(TensorView dst, std::span<const std::byte> src) override { inner_->copy_from_host(dst, src); }
  void copy_to_host(std::span<std::byte> dst, ConstTensorView src) override { inner_->copy_to_host(dst, src); }
  void copy(TensorView dst, ConstTensorView src) override { inner_->copy(dst, src); }
  void set_zero(TensorView dst) override { inner_->set_zero(dst); }

  void convert(TensorView dst, ConstTensorView src) override {
    widen([&](Operands& o) { inner_->convert(o.out(dst), o.in(src)); });
  }
  void embedding_forward(TensorView out, ConstTensorView tokens, ConstTensorView wte, ConstTensorView wpe,
                         std::int64_t first_position, const Dropout& dropout) override {
    widen([&](Operands& o) { inner_->embedding_forward(o.out(out), tokens, o.in(wte), o.in(wpe), first_position, dropout); });
  }
  void embedding_backward(TensorView dwte, TensorView dwpe, ConstTensorView dout, ConstTensorView tokens,
                          const Dropout& dropout) override {
    widen([&](Operands& o) { inner_->embedding_backward(dwte, dwpe, o.in(dout), tokens, dropout); });
  }
  void layernorm_forward(TensorView out, TensorView mean, TensorView rstd, ConstTensorView inp, ConstTensorView weight,
                         ConstTensorView bias) override {
    widen([&](Operands& o) { inner_->layernorm_forward(o.out(out), mean, rstd, o.in(inp), o.in(weight), o.in(bias)); });
  }
  /// As the ops apart: the norm reads the sum as it is stored.
  void residual_layernorm_forward(TensorView residual_out, TensorView out, TensorView mean, TensorView rstd,
                                  ConstTensorView residual, ConstTensorView branch, ConstTensorView weight,
                                  ConstTensorView bias, const Dropout& dropout) override {
    widen([&](Operands& o) {
      inner_->residual_layernorm_forward(o.out(residual_out), o.out(out), mean, rstd, o.in(residual), o.in(branch),
                                         o.in(weight), o.in(bias), dropout);
    });
    layernorm_forward(out, mean, rstd, residual_out, weight, bias);
  }
  void layernorm_backward(TensorView dinp, TensorView dweight, TensorView dbias, ConstTensorView dout, ConstTensorView inp,
                          ConstTensorView weight, ConstTensorView mean, ConstTensorView rstd) override {
    widen([&](Operands& o) {
      inner_->layernorm_backward(o.out(dinp), dweight, dbias, o.in(dout), o.in(inp), o.in(weight), mean, rstd);
    });
  }
  void dropout_backward(TensorView dinp, ConstTensorView dout, const Dropout& dropout) override {
    widen([&](Operands& o) { inner_->dropout_backward(o.out(dinp), o.in(dout), dropout); });
  }
  void matmul(TensorView out, ConstTensorView a, ConstTensorView b, ConstTensorView bias,
              const MatmulOptions& options) override {
    widen([&](Operands& o) { inner_->matmul(o.out(out), o.in(a), o.in(b), o.in(bias), options); });
  }
  void bias_backward(TensorView dbias, ConstTensorView dout) override {
    widen([&](Operands& o) { inner_->bias_backward(dbias, o.in(dout)); });
  }
  void gelu_forward(TensorView out, ConstTensorView inp) override {
    widen([&](Operands& o) { inner_->gelu_forward(o.out(out), o.in(inp)); });
  }
  void gelu_backward(TensorView dinp, ConstTensorView dout, ConstTensorView inp) override {
    widen([&](Operands& o) { inner_->gelu_backward(o.out(dinp), o.in(dout), o.in(inp)); });
  }
  void matmul_gelu_backward(TensorView dinp, ConstTensorView dout, ConstTensorView weight, ConstTensorView hidden) override {
    widen([&](Operands& o) { inner_->matmul_gelu_backward(o.out(dinp), o.in(dout), o.in(weight), o.in(hidden)); });
  }
  void attention_forward(TensorView out, TensorView lse, ConstTensorView qkv, std::int64_t num_heads,
                         const Dropout& dropout) override {
    widen([&](Operands& o) { inner_->attention_forward(o.out(out), lse, o.in(qkv), num_heads, dropout); });
  }
  void attention_backward(TensorView dqkv, ConstTensorView dout, ConstTensorView out, ConstTensorView qkv, ConstTensorView lse,
                          std::int64_t num_heads, const Dropout& dropout) override {
    widen([&](Operands& o) {
      inner_->attention_backward(o.out(dqkv), o.in(dout), o.in(out), o.in(qkv), lse, num_heads, dropout);
    });
  }
  void attention_decode(TensorView out, TensorView k_cache, TensorView v_cache, ConstTensorView qkv, std::int64_t num_heads,
                        std::int64_t first_position) override {
    widen([&](Operands& o) {
      inner_->attention_decode(o.out(out), o.out(k_cache), o.out(v_cache), o.in(qkv), num_heads, first_position);
    });
  }
  void cross_entropy_forward(TensorView losses, ConstTensorView logits, ConstTensorView targets,
                             std::int64_t vocab_size) override {
    widen([&](Operands& o) { inner_->cross_entropy_forward(losses, o.in(logits), targets, vocab_size); });
  }
  void cross_entropy_forward_backward(TensorView losses, TensorView logits, ConstTensorView targets, std::int64_t vocab_size,
                                      float grad_scale) override {
    widen([&](Operands& o) { inner_->cross_entropy_forward_backward(losses, o.out(logits), targets, vocab_size, grad_scale); });
  }
  void reduce_sum(TensorView out, ConstTensorView inp) override {
    widen([&](Operands& o) { inner_->reduce_sum(out, o.in(inp)); });
  }
  void l2_norm(TensorView out, ConstTensorView inp, float scale) override {
    widen([&](Operands& o) { inner_->l2_norm(out, o.in(inp), scale); });
    if (overflows) *out.as<float>() = std::numeric_limits<float>::infinity();
  }
  void adamw_update(TensorView param, TensorView working, TensorView m, TensorView v, ConstTensorView grad,
                    ConstTensorView norm, const AdamWStep& step) override {
    if (!working.present() || working.dtype() != DType::kFloat16) {
      return inner_->adamw_update(param, working, m, v, grad, norm, step);
    }
    inner_->adamw_update(param, {}, m, v, grad, norm, step);
    convert(working, param);
  }

 private:
  static constexpr std::array kDTypes = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};

  /// Float32 stand-ins of an op's float16 operands.
  class Operands {
   public:
    explicit Operands(MemoryResource& memory) : memory_(memory) {}
    ConstTensorView in(const ConstTensorView& view) {
      if (!view.present() || view.dtype() != DType::kFloat16) return view;
      return load(view);
    }
    TensorView out(const TensorView& view) {
      if (!view.present() || view.dtype() != DType::kFloat16) return view;
      const TensorView wide = load(view);
      outputs_.emplace_back(view, wide);
      return wide;
    }
    void store() const {
      for (const auto& [half, wide] : outputs_) {
        std::transform(wide.as<float>(), wide.as<float>() + wide.num_elements(), half.as<Float16>(),
                       [](float value) { return Float16(value); });
      }
    }

   private:
    TensorView load(const ConstTensorView& view) {
      buffers_.emplace_back(memory_, view.num_elements() * 4,
                            AllocationTag{MemoryCategory::kActivations, "float16 as float32"});
      const TensorView wide(buffers_.back().data(), DType::kFloat32, view.shape());
      std::transform(view.as<Float16>(), view.as<Float16>() + view.num_elements(), wide.as<float>(),
                     [](Float16 value) { return static_cast<float>(value); });
      return wide;
    }

    MemoryResource& memory_;
    std::list<Buffer> buffers_;
    std::list<std::pair<TensorView, TensorView>> outputs_;
  };

  template <typename Op>
  void widen(Op&& op) {
    Operands operands(inner_->memory());
    op(operands);
    operands.store();
  }

  std::unique_ptr<Backend> inner_;
  HalfTraits traits_;
};

}  // namespace virgil::test_support
