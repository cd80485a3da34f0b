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
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

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
  [[nodiscard]] std::int64_t norm_backward_workspace_bytes(std::int64_t rows, std::int64_t channels) const override {
    return inner_.norm_backward_workspace_bytes(rows, channels);
  }
  [[nodiscard]] std::int64_t column_sums_workspace_bytes(std::int64_t rows, std::int64_t channels) const override {
    return inner_.column_sums_workspace_bytes(rows, channels);
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
  void run(const Call& call) override {
    if (const auto* adamw = std::get_if<ops::AdamWUpdate>(&call)) return run_adamw(*adamw);
    if (std::holds_alternative<ops::SetZero>(call) || std::holds_alternative<ops::Copy>(call)) return inner_->run(call);
    Call wide = call;
    std::list<Buffer> buffers;
    std::list<std::pair<TensorView, TensorView>> outputs;
    for_each_operand(wide, [&](std::string_view /*name*/, auto& view, ops::Access access) {
      if (view.dtype() != DType::kFloat16) return;
      const TensorView widened = widen(view, buffers);
      if constexpr (std::is_same_v<decltype(view), TensorView&>) {
        if (access != ops::Access::kRead) outputs.emplace_back(view, widened);
      }
      view = widened;
    });
    inner_->run(wide);
    for (const auto& [half, result] : outputs) {
      std::transform(result.as<float>(), result.as<float>() + result.num_elements(), half.as<Float16>(),
                     [](float value) { return Float16(value); });
    }
    // As the ops apart: the norm reads the sum as it is stored.
    if (const auto* residual = std::get_if<ops::ResidualNormForward>(&call)) {
      run(ops::NormForward{residual->out, residual->mean, residual->rstd, residual->residual_out, residual->weight,
                           residual->bias});
    }
    const auto* norm = std::get_if<ops::L2Norm>(&call);
    if (norm != nullptr && overflows) *norm->out.as<float>() = std::numeric_limits<float>::infinity();
  }

 private:
  static constexpr std::array kDTypes = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};

  void run_adamw(const ops::AdamWUpdate& op) {
    const bool half = op.working.present() && op.working.dtype() == DType::kFloat16;
    ops::AdamWUpdate update = op;
    if (half) update.working = {};
    inner_->run(update);
    if (half) run(ops::Convert{op.working, op.param});
  }

  /// A float32 copy of a float16 operand.
  TensorView widen(const ConstTensorView& view, std::list<Buffer>& buffers) {
    buffers.emplace_back(inner_->memory(), view.num_elements() * 4,
                         AllocationTag{MemoryCategory::kActivations, "float16 as float32"});
    const TensorView wide(buffers.back().data(), DType::kFloat32, view.shape());
    std::transform(view.as<Float16>(), view.as<Float16>() + view.num_elements(), wide.as<float>(),
                   [](Float16 value) { return static_cast<float>(value); });
    return wide;
  }

  std::unique_ptr<Backend> inner_;
  HalfTraits traits_;
};

}  // namespace virgil::test_support
