// Learning-rate schedules: linear warm-up, then cosine, linear, constant or warmup-stable-decay.
#pragma once

#include <cstdint>

namespace virgil {

enum class LrScheduleKind : std::uint8_t { kCosine, kLinear, kConstant, kWsd };

/// Pure function of the step.
struct LrSchedule {
  LrScheduleKind kind = LrScheduleKind::kCosine;
  double max_lr = 0;
  double min_lr = 0;
  std::int64_t warmup_iters = 0;
  std::int64_t decay_iters = 0;     // step at which min_lr is reached
  double wsd_decay_fraction = 0.2;  // wsd: share of decay_iters spent decaying (linearly), at the end

  /// Rate of update `step` (0 is the first): max_lr * (step + 1) / (warmup_iters + 1) while warming up, as nanoGPT.
  [[nodiscard]] double at(std::int64_t step) const;
};

}  // namespace virgil
