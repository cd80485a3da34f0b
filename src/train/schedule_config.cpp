#include "virgil/train/schedule_config.h"

namespace virgil {

LrSchedule lr_schedule_of(const TrainConfig& config) {
  const LrScheduleKind kind = config.lr_schedule == "cosine"   ? LrScheduleKind::kCosine
                              : config.lr_schedule == "linear" ? LrScheduleKind::kLinear
                              : config.lr_schedule == "wsd"    ? LrScheduleKind::kWsd
                                                               : LrScheduleKind::kConstant;
  return {.kind = kind,
          .max_lr = config.learning_rate,
          .min_lr = config.min_lr,
          .warmup_iters = config.warmup_iters,
          .decay_iters = config.lr_decay_iters,
          .wsd_decay_fraction = config.wsd_decay_fraction};
}

OptimizerOptions optimizer_options_of(const TrainConfig& config) {
  return {.weight_decay = config.weight_decay,
          .max_norm = config.grad_clip,
          .seed = config.seed,
          .adamw = {.beta1 = config.beta1, .beta2 = config.beta2, .eps = config.eps},
          .muon = {.momentum = config.muon_momentum, .beta2 = config.muon_beta2}};
}

}  // namespace virgil
