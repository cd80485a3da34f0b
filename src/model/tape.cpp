#include "virgil/model/tape.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
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
  return view;
}

void Tape::add(Call call) {
  check(call);
  if (!backward_) {
    for_each_operand(call, [&](std::string_view /*name*/, const ConstTensorView& view, ops::Access access) {
      if (access != ops::Access::kRead) makers_.emplace(view.tensor(), calls_.size());
    });
  }
  calls_.push_back(std::move(call));
  recomputations_.push_back(false);
}

void Tape::add_alternative(Call call) {
  check(call);
  for_each_operand(call, [&](std::string_view /*name*/, const ConstTensorView& view, ops::Access access) {
    if (access != ops::Access::kRead) alternatives_.emplace(view.tensor(), call);
  });
}

bool Tape::is_stored(std::int32_t tensor) const {
  const std::optional<Recompute> dropped_from = tensors_[static_cast<std::size_t>(tensor)].dropped_from;
  return !dropped_from || recompute_ < *dropped_from;
}

ConstTensorView Tape::read(const ConstTensorView& view) {
  if (!backward_ || is_stored(view.tensor())) return view;
  if (!made_again_.contains(view.tensor())) make_again(view.tensor());
  return ConstTensorView::planned(made_again_.at(view.tensor()), view.offset_bytes(), view.dtype(), view.shape());
}

void Tape::make_again(std::int32_t tensor) {
  const auto reads_stored = [&](const Call& call) {
    bool all = true;
    for_each_operand(call, [&](std::string_view /*name*/, const ConstTensorView& view, ops::Access access) {
      if (access == ops::Access::kRead) all = all && is_stored(view.tensor());
    });
    return all;
  };
  const auto alternative = alternatives_.find(tensor);
  Call call = alternative != alternatives_.end() && reads_stored(alternative->second) ? alternative->second
                                                                                      : calls_[makers_.at(tensor)];
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
      made_again_[from] = view.tensor();
    }
  });
  calls_.push_back(std::move(call));
  recomputations_.push_back(true);
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

std::string to_string(const Tape& tape, const Call& call) {
  std::string outputs;
  std::string inputs;
  for_each_operand(call, [&](std::string_view name, const ConstTensorView& view, ops::Access access) {
    std::string text =
        fmt::format("{} {}", tape.tensors()[static_cast<std::size_t>(view.tensor())].name, view.shape().to_string());
    if (access == ops::Access::kUpdate) text += " +=";
    std::string& list = access == ops::Access::kRead ? inputs : outputs;
    if (!list.empty()) list += ", ";
    list += access == ops::Access::kRead ? fmt::format("{} {}", name, text) : text;
  });
  return fmt::format("{} = {}({})", outputs, name_of(call), inputs);
}

}  // namespace virgil
