// Attention by the project's own kernels and by cuDNN's, in turns on one GPU.
#pragma once

#include <cstdint>
#include <string>

#include "virgil/base/spread.h"
#include "virgil/config/train_config.h"
#include "virgil/model/memory_plan.h"

namespace virgil::bench {

/// Of one contestant: medians over rounds of a call's milliseconds, and the scratch it takes.
struct AttentionTimes {
  double forward_ms = 0;
  double backward_ms = 0;
  std::int64_t workspace_bytes = 0;
};

struct AttentionRace {
  std::string skipped;  // why there was no race; empty where there was one
  std::string shape;    // of qkv
  AttentionTimes virgil, cudnn;
  Spread forward_ratio, backward_ratio;  // cuDNN's time over ours of the same round
};

/// Times `backend`'s attention and `other`'s in turns, without dropout.
[[nodiscard]] AttentionRace race_attention(Backend& backend, Backend& other, const AttentionShape& shape);

/// The same of the configuration's device with its own kernels and with cuDNN's, at the sizes of the plan's micro-step.
[[nodiscard]] AttentionRace race_cudnn(const TrainConfig& config, const MemoryPlan& plan);

}  // namespace virgil::bench
