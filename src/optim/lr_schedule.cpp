#include "virgil/optim/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace virgil {

double LrSchedule::at(std::int64_t step) const {
  if (step < warmup_iters) return max_lr * static_cast<double>(step + 1) / static_cast<double>(warmup_iters + 1);
  if (kind == LrScheduleKind::kConstant) return max_lr;
  if (step >= decay_iters) return min_lr;
  const auto decay_length = static_cast<double>(decay_iters - warmup_iters);
  const double progress = static_cast<double>(step - warmup_iters) / decay_length;
  switch (kind) {
    case LrScheduleKind::kCosine:
      return min_lr + 0.5 * (1.0 + std::cos(std::numbers::pi * progress)) * (max_lr - min_lr);
    case LrScheduleKind::kLinear:
      return max_lr + progress * (min_lr - max_lr);
    case LrScheduleKind::kWsd: {
      const double decay_start = 1.0 - std::min(1.0, wsd_decay_fraction * static_cast<double>(decay_iters) / decay_length);
      return progress < decay_start ? max_lr : max_lr + (progress - decay_start) / (1.0 - decay_start) * (min_lr - max_lr);
    }
    case LrScheduleKind::kConstant:
      break;
  }
  return max_lr;
}

}  // namespace virgil
