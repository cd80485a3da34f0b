// Dynamic loss scaling for float16 (Micikevicius et al. 2018, "Mixed Precision Training").
#pragma once

#include <cstdint>

namespace virgil {

/// All scales are powers of two, so that scaling and unscaling round nothing.
struct LossScalerOptions {
  double initial_scale = 0x1p16;
  std::int64_t growth_interval = 2000;  // good steps in a row after which the scale doubles
  double min_scale = 1;
  double max_scale = 0x1p32;
};

/// What a checkpoint keeps.
struct LossScalerState {
  double scale = 0;
  std::int64_t good_steps = 0;  // in a row, since the scale last changed
  friend bool operator==(const LossScalerState&, const LossScalerState&) = default;
};

/// Keeps the factor that the loss is multiplied with before the backward pass, so that small gradients do not vanish in
/// float16: it halves after a step whose gradients overflow, and doubles after growth_interval steps in a row that do not.
class LossScaler {
 public:
  explicit LossScaler(const LossScalerOptions& options = {});

  /// Of the next backward pass.
  [[nodiscard]] double scale() const { return state_.scale; }
  /// Gradients that overflow at this scale would at every scale: something else is wrong.
  [[nodiscard]] bool is_at_minimum() const { return state_.scale <= options_.min_scale; }
  /// After each step: whether the norm of its gradients was finite.
  void update(bool finite);
  [[nodiscard]] const LossScalerState& state() const { return state_; }
  /// Throws UserError when the state is none that a scaler of these options reaches.
  void restore(const LossScalerState& state);

 private:
  LossScalerOptions options_;
  LossScalerState state_;
};

}  // namespace virgil
