// The calls of a step as a value: recorded once, and then read by all who must know them. Where activations lie, how much
// scratch a step needs, what it costs, when a gradient is complete, and what a backend runs follow from the same list.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
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
    notes_.reserve(expected_calls);
    tensors_.reserve(2 * expected_calls);
    origins_.reserve(2 * expected_calls);
  }

  /// A tensor to be used in calls. Whether anything is allocated follows from its slot.
  TensorView tensor(TapeTensor tensor);
  /// Throws InternalError when the call's operands do not agree.
  void add(Call call);
  /// Another call that makes the same as the one before it, to be preferred where its operands are stored.
  void add_alternative(Call call);
  void begin_backward() { backward_ = true; }
  /// Each call added from now on stands for `repeats` of its kind, of which a tape for planning has one.
  void set_repeats(std::int64_t repeats) { repeats_now_ = repeats; }
  /// A tensor of the forward pass as the backward pass finds it.
  [[nodiscard]] ConstTensorView read(const ConstTensorView& view);

  [[nodiscard]] std::span<const TapeTensor> tensors() const { return tensors_; }
  [[nodiscard]] std::span<const Call> calls() const { return calls_; }
  /// Whether a call makes something again.
  [[nodiscard]] bool is_recomputation(std::size_t call) const { return notes_[call].is_recomputation; }
  /// How many calls of its kind it stands for.
  [[nodiscard]] std::int64_t repeats(std::size_t call) const { return notes_[call].repeats; }
  /// By tensor.
  [[nodiscard]] std::vector<Life> lives() const;

 private:
  /// What is known of a call beside its operands.
  struct Note {
    std::int64_t repeats = 1;
    bool is_recomputation = false;
  };
  /// Of a tensor: the call that first wrote it, and what the backward pass reads in its place; -1: none.
  struct Origin {
    std::int64_t maker = -1;
    std::int32_t made_again = -1;
  };
  [[nodiscard]] bool is_stored(std::int32_t tensor) const;
  [[nodiscard]] Origin& origin(std::int32_t tensor) { return origins_[static_cast<std::size_t>(tensor)]; }
  [[nodiscard]] const Call& call_that_makes(std::int32_t tensor);
  void make_again(std::int32_t tensor);
  void push_call(Call call, bool is_recomputation);

  Recompute recompute_;
  bool backward_ = false;
  std::int64_t repeats_now_ = 1;
  std::vector<TapeTensor> tensors_;
  std::vector<Origin> origins_;  // by tensor
  std::vector<Call> calls_;
  std::vector<Note> notes_;                                 // by call
  std::vector<std::pair<std::size_t, Call>> alternatives_;  // to the call of that number, ascending
};

/// By bucket of gradients: the first and the last call that write into it.
[[nodiscard]] std::map<std::int64_t, Life> bucket_lives(const Tape& tape);

}  // namespace virgil
