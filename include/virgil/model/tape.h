// The calls of a step as a value: recorded once, and then read by all who must know them. Where activations lie, how much
// scratch a step needs, what it costs, when a gradient is complete, and what a backend runs follow from the same list.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/dtype.h"
#include "virgil/base/shape.h"
#include "virgil/memory/tensor_view.h"
#include "virgil/model/plan_slot.h"
#include "virgil/model/step_shape.h"
#include "virgil/ops/call.h"

namespace virgil {

struct TapeTensor {
  std::string name;  // "h.3.attn.qkv"
  DType dtype = DType::kFloat32;
  Shape shape;
  PlanSlot slot = PlanSlot::kActivations;
  std::optional<std::int64_t> offset_bytes =
      std::nullopt;                                      // in its slot; without one it is placed where it meets nothing alive
  std::optional<Recompute> dropped_from = std::nullopt;  // the first level of recomputation that makes it again
  std::int64_t bucket = -1;                              // of a gradient: ParameterLayout's
};

/// First and last call that use a tensor; -1 where none does.
struct Life {
  std::int64_t first = -1;
  std::int64_t last = -1;
  [[nodiscard]] bool meets(const Life& other) const { return first <= other.last && other.first <= last; }
};

/// Forward calls are added as they run. After begin_backward() whoever needs what a forward call left asks read() for it: it is
/// there, or is made again by the call that made it, from what that one read.
class Tape {
 public:
  /// `expected_calls` is a hint: room for so many calls, and for twice as many tensors.
  explicit Tape(Recompute recompute = Recompute::kNone, std::size_t expected_calls = 0) : recompute_(recompute) {
    calls_.reserve(expected_calls);
    tensors_.reserve(2 * expected_calls);
  }

  /// A tensor to be used in calls. Whether anything is allocated follows from its slot.
  TensorView tensor(TapeTensor tensor);
  /// Throws InternalError when the call's operands do not agree.
  void add(Call call);
  /// Another call that makes the same as the one before it, to be preferred where its operands are stored.
  void add_alternative(Call call);
  void begin_backward() { backward_ = true; }
  /// A tensor of the forward pass as the backward pass finds it.
  [[nodiscard]] ConstTensorView read(const ConstTensorView& view);

  [[nodiscard]] std::span<const TapeTensor> tensors() const { return tensors_; }
  [[nodiscard]] std::span<const Call> calls() const { return calls_; }
  /// Whether a call makes something again.
  [[nodiscard]] bool is_recomputation(std::size_t call) const { return recomputations_[call]; }
  /// By tensor.
  [[nodiscard]] std::vector<Life> lives() const;

 private:
  [[nodiscard]] bool is_stored(std::int32_t tensor) const;
  void make_again(std::int32_t tensor);

  Recompute recompute_;
  bool backward_ = false;
  std::vector<TapeTensor> tensors_;
  std::vector<Call> calls_;
  std::vector<bool> recomputations_;
  std::map<std::int32_t, std::size_t> makers_;       // of a tensor: the call that first wrote it
  std::map<std::int32_t, Call> alternatives_;        // of a tensor
  std::map<std::int32_t, std::int32_t> made_again_;  // of a dropped tensor: what the backward pass reads in its place
};

/// By bucket of gradients: the first and the last call that write into it.
[[nodiscard]] std::map<std::int64_t, Life> bucket_lives(const Tape& tape);

/// "h.0.attn.qkv (2, 64, 1152) = matmul(a h.0.ln_1 (2, 64, 384), b transformer.h.0.attn.c_attn.weight (384, 1152))".
[[nodiscard]] std::string to_string(const Tape& tape, const Call& call);

}  // namespace virgil
