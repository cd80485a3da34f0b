// What one invocation of a run has done.
#pragma once

#include <cstdint>

namespace virgil {

struct RunTally {
  std::int64_t steps = 0;
  std::int64_t tokens = 0;
  double steps_s = 0;           // spent in steps
  double total_s = 0;           // evaluations, samples and checkpoints included
  double tokens_per_epoch = 0;  // of the training text
  double flops_per_token = 0;   // that the model needs
  double loss = 0;              // of the last step, nats per token
  double smoothed_loss = 0;     // of the whole run

  /// 0 where no step was made.
  [[nodiscard]] double tokens_per_s() const { return steps_s > 0 ? static_cast<double>(tokens) / steps_s : 0; }
};

}  // namespace virgil
