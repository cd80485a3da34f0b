#include "virgil/model/tape.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "virgil/base/error.h"

namespace virgil {

TensorView Tape::tensor(TapeTensor tensor) {
  const auto number = static_cast<std::int32_t>(tensors_.size());
  const TensorView view = TensorView::planned(number, 0, tensor.dtype, tensor.shape);
  tensors_.push_back(std::move(tensor));
  origins_.emplace_back();
  return view;
}

void Tape::add(Call call) {
  check(call);
  if (!backward_) {
    for_each_operand(call, [&](std::string_view /*name*/, const ConstTensorView& view, ops::Access access) {
      if (access == ops::Access::kRead || origin(view.tensor()).maker >= 0) return;
      origin(view.tensor()).maker = static_cast<std::int64_t>(calls_.size());
    });
  }
  push_call(std::move(call), false);
}

void Tape::push_call(Call call, bool is_recomputation) {
  calls_.push_back(std::move(call));
  notes_.push_back({repeats_now_, is_recomputation});
}

void Tape::add_alternative(Call call) {
  check(call);
  VIRGIL_CHECK(!calls_.empty(), "{}: an alternative to nothing", name_of(call));
  alternatives_.emplace_back(calls_.size() - 1, std::move(call));
}

bool Tape::is_stored(std::int32_t tensor) const {
  const std::optional<Recompute> dropped_from = tensors_[static_cast<std::size_t>(tensor)].dropped_from;
  return !dropped_from || recompute_ < *dropped_from;
}

ConstTensorView Tape::read(const ConstTensorView& view) {
  if (!backward_ || is_stored(view.tensor())) return view;
  if (origin(view.tensor()).made_again < 0) make_again(view.tensor());
  return ConstTensorView::planned(origin(view.tensor()).made_again, view.offset_bytes(), view.dtype(), view.shape());
}

const Call& Tape::call_that_makes(std::int32_t tensor) {
  const std::int64_t maker = origin(tensor).maker;
  VIRGIL_CHECK(maker >= 0, "{} is read by the backward pass; no call has written it",
               tensors_[static_cast<std::size_t>(tensor)].name);
  const auto number = static_cast<std::size_t>(maker);
  const auto writes_it_from_what_is_stored = [&](const Call& call) {
    bool writes = false;
    bool all_stored = true;
    for_each_operand(call, [&](std::string_view /*name*/, const ConstTensorView& view, ops::Access access) {
      if (access == ops::Access::kRead) {
        all_stored = all_stored && is_stored(view.tensor());
      } else {
        writes = writes || view.tensor() == tensor;
      }
    });
    return writes && all_stored;
  };
  const auto found = std::ranges::lower_bound(alternatives_, number, {}, &std::pair<std::size_t, Call>::first);
  const bool is_better = found != alternatives_.end() && found->first == number && writes_it_from_what_is_stored(found->second);
  return is_better ? found->second : calls_[number];
}

void Tape::make_again(std::int32_t tensor) {
  Call call = call_that_makes(tensor);
  // What it reads must be there before what it writes begins to live.
  for_each_operand(call, [&](std::string_view /*name*/, auto& view, ops::Access access) {
    if constexpr (std::is_same_v<decltype(view), ConstTensorView&>) {
      if (access == ops::Access::kRead) view = read(view);
    }
  });
  for_each_operand(call, [&](std::string_view /*name*/, auto& view, ops::Access access) {
    if constexpr (std::is_same_v<decltype(view), TensorView&>) {
      VIRGIL_CHECK(access == ops::Access::kWrite, "{} cannot be run again: it changes what is there", name_of(call));
      if (is_stored(view.tensor())) return;  // the same once more, in its place
      TapeTensor again = tensors_[static_cast<std::size_t>(view.tensor())];
      again.name += " (recomputed)";
      const std::int32_t from = view.tensor();
      view = this->tensor(std::move(again)).reshape(view.shape());
      origin(from).made_again = view.tensor();
    }
  });
  push_call(std::move(call), true);
}

std::vector<Life> Tape::lives() const {
  std::vector<Life> lives(tensors_.size());
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    for_each_operand(calls_[i], [&](std::string_view /*name*/, const ConstTensorView& view, ops::Access /*access*/) {
      Life& life = lives[static_cast<std::size_t>(view.tensor())];
      if (life.first < 0) life.first = static_cast<std::int64_t>(i);
      life.last = static_cast<std::int64_t>(i);
    });
  }
  return lives;
}

std::map<std::int64_t, Life> bucket_lives(const Tape& tape) {
  std::map<std::int64_t, Life> lives;
  for (std::size_t i = 0; i < tape.calls().size(); ++i) {
    for_each_operand(tape.calls()[i], [&](std::string_view /*name*/, const ConstTensorView& view, ops::Access access) {
      const std::int64_t bucket = tape.tensors()[static_cast<std::size_t>(view.tensor())].bucket;
      if (bucket < 0 || access == ops::Access::kRead) return;
      Life& life = lives[bucket];
      if (life.first < 0) life.first = static_cast<std::int64_t>(i);
      life.last = static_cast<std::int64_t>(i);
    });
  }
  return lives;
}

}  // namespace virgil
