#include "virgil/model/arena_layout.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "virgil/base/error.h"

namespace virgil {

namespace {

/// Gives every tensor an offset of its own. Returns the arena's end.
std::int64_t place_side_by_side(std::vector<ActivationSpec>& specs, std::int64_t begin) {
  std::int64_t end = begin;
  for (ActivationSpec& spec : specs) {
    spec.offset_bytes = end;
    end = checked_add(end, spec.size_bytes);
  }
  return end;
}

/// Where a tensor has been placed. Small, as each is compared with most of the others.
struct Extent {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  Life life;
};

/// Gives every tensor an offset: largest first, at the lowest place where nothing that lives at the same time lies.
/// Returns the arena's end.
std::int64_t place_shared(std::vector<ActivationSpec>& specs, std::int64_t begin) {
  std::vector<ActivationSpec*> order;
  for (ActivationSpec& spec : specs) order.push_back(&spec);
  std::ranges::stable_sort(order, [](const auto* a, const auto* b) { return a->size_bytes > b->size_bytes; });
  std::vector<Extent> placed;  // by begin
  placed.reserve(specs.size());
  std::int64_t arena_bytes = begin;
  for (ActivationSpec* spec : order) {
    std::int64_t offset = begin;
    std::int64_t end = checked_add(offset, spec->size_bytes);
    for (const Extent& other : placed) {
      if (other.begin >= end) break;  // as do all behind it
      // One branch, as a processor cannot guess these three: nearly all of a plan's time was lost here.
      const bool is_in_the_way = static_cast<int>(other.end > offset) & static_cast<int>(spec->life.first <= other.life.last) &
                                 static_cast<int>(other.life.first <= spec->life.last);
      if (!is_in_the_way) continue;
      offset = other.end;
      end = checked_add(offset, spec->size_bytes);
    }
    spec->offset_bytes = offset;
    arena_bytes = std::max(arena_bytes, end);
    placed.insert(std::ranges::upper_bound(placed, offset, {}, &Extent::begin), {offset, end, spec->life});
  }
  return arena_bytes;
}

}  // namespace

ArenaLayout::ArenaLayout(const Tape& tape, std::int64_t alignment_bytes, bool share, std::int64_t reserved_bytes)
    : spec_of_(tape.tensors().size(), -1) {
  const std::vector<Life> lives = tape.lives();
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < lives.size(); ++i) {
    const TapeTensor& tensor = tape.tensors()[i];
    if (tensor.slot == PlanSlot::kActivations && !tensor.offset_bytes && lives[i].first >= 0) order.push_back(i);
  }
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return lives[i].first; });
  for (const std::size_t i : order) {
    const TapeTensor& tensor = tape.tensors()[i];
    spec_of_[i] = static_cast<std::int32_t>(specs_.size());
    const std::int64_t size = checked_multiply(tensor.shape.num_elements(), size_of(tensor.dtype));
    specs_.push_back({tensor.name, tensor.dtype, tensor.shape, lives[i], 0, round_up(size, alignment_bytes)});
  }
  arena_bytes_ = share ? place_shared(specs_, reserved_bytes) : place_side_by_side(specs_, reserved_bytes);
}

std::int64_t ArenaLayout::offset_of(std::int32_t tensor) const {
  const std::int32_t spec = spec_of_.at(static_cast<std::size_t>(tensor));
  VIRGIL_CHECK(spec >= 0, "tensor {} of the tape is no activation", tensor);
  return specs_[static_cast<std::size_t>(spec)].offset_bytes;
}

std::int64_t ArenaLayout::unshared_bytes() const {
  return std::accumulate(specs_.begin(), specs_.end(), std::int64_t{0},
                         [](std::int64_t sum, const ActivationSpec& spec) { return checked_add(sum, spec.size_bytes); });
}

}  // namespace virgil
