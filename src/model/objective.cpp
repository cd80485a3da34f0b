#include "virgil/model/objective.h"

namespace virgil {

std::vector<TargetTensor> targets_of(ObjectiveKind kind) {
  switch (kind) {
    case ObjectiveKind::kNextToken:
      return {{"targets", DType::kInt32}};
  }
  throw InternalError("no such objective");
}

std::vector<PlacedTarget> place_targets(std::span<const TargetTensor> targets, std::int64_t batch_size, std::int64_t length) {
  constexpr std::int64_t kAlignmentBytes = 256;  // as an allocation's on any device
  std::vector<PlacedTarget> placed;
  std::int64_t end = 0;
  for (const TargetTensor& target : targets) {
    const Shape shape = target.width == 1 ? Shape{batch_size, length} : Shape{batch_size, length, target.width};
    placed.push_back({target.name, target.dtype, shape, round_up(end, kAlignmentBytes)});
    end = checked_add(placed.back().offset_bytes, placed.back().size_bytes());
  }
  return placed;
}

std::vector<PlacedTarget> place_targets(const StepShape& step) {
  return place_targets(targets_of(step.objective), step.batch_size, step.length);
}

HostBatch::HostBatch(const StepShape& step)
    : inputs_(static_cast<std::size_t>(checked_multiply(step.batch_size, step.length))), placed_(place_targets(step)) {
  for (const PlacedTarget& target : placed_) targets_.emplace_back(static_cast<std::size_t>(target.size_bytes()));
}

}  // namespace virgil
