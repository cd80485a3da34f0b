// What a model is trained to do: what a batch holds for the loss to compare with, on the host and in the plan's memory. The
// calls that follow the head are in src/model/blocks/objective.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "virgil/base/dtype.h"
#include "virgil/base/error.h"
#include "virgil/base/shape.h"
#include "virgil/model/step_shape.h"

namespace virgil {

/// What the loss compares with: `width` values for each token.
struct TargetTensor {
  std::string_view name;
  DType dtype = DType::kFloat32;
  std::int64_t width = 1;
};
/// The first is always the next token of each, int32; a negative one is ignored by the loss. Evaluation reads no other.
[[nodiscard]] std::vector<TargetTensor> targets_of(ObjectiveKind kind);

/// A target in PlanSlot::kTargets: (B, T), or (B, T, width).
struct PlacedTarget {
  std::string_view name;
  DType dtype = DType::kFloat32;
  Shape shape;
  std::int64_t offset_bytes = 0;

  [[nodiscard]] std::int64_t size_bytes() const { return checked_multiply(shape.num_elements(), size_of(dtype)); }
};
/// Side by side, in the order of `targets`; the slot ends with the last.
[[nodiscard]] std::vector<PlacedTarget> place_targets(std::span<const TargetTensor> targets, std::int64_t batch_size,
                                                      std::int64_t length);
[[nodiscard]] std::vector<PlacedTarget> place_targets(const StepShape& step);

/// A micro-batch on the host, to be filled and then loaded.
class HostBatch {
 public:
  explicit HostBatch(const StepShape& step);

  /// (B, T).
  [[nodiscard]] std::span<std::int32_t> inputs() { return inputs_; }
  [[nodiscard]] std::span<const std::int32_t> inputs() const { return inputs_; }
  /// (B * T * width) of target `index`; throws InternalError when T is not its dtype.
  template <typename T>
  [[nodiscard]] std::span<T> target(std::size_t index) {
    VIRGIL_CHECK(placed_[index].dtype == DTypeOf<T>::value, "{} is {}", placed_[index].name, name_of(placed_[index].dtype));
    return {reinterpret_cast<T*>(targets_[index].data()), static_cast<std::size_t>(placed_[index].shape.num_elements())};
  }
  [[nodiscard]] std::span<std::int32_t> next_tokens() { return target<std::int32_t>(0); }
  [[nodiscard]] std::size_t num_targets() const { return targets_.size(); }
  [[nodiscard]] std::span<const std::byte> target_bytes(std::size_t index) const { return targets_[index]; }

 private:
  std::vector<std::int32_t> inputs_;
  std::vector<PlacedTarget> placed_;
  std::vector<std::vector<std::byte>> targets_;
};

}  // namespace virgil
