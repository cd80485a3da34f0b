// Loss of a model on a held-out text.
#pragma once

#include <cstdint>
#include <span>

#include "virgil/model/gpt.h"
#include "virgil/train/metrics.h"

namespace virgil {

/// Cuts a text's tokens into windows of block_size that follow one another and predicts every token but the first once. The
/// last window is shorter; its missing targets are ignored. Holds views that must outlive it.
class Evaluator {
 public:
  /// `text_bytes` is what the tokens stand for, for bits per byte. `max_batches` > 0 evaluates that many batches, spread
  /// evenly. Throws UserError when there are fewer than two tokens.
  Evaluator(std::span<const std::int32_t> tokens, std::int64_t text_bytes, const StepShape& shape, std::int64_t max_batches);

  /// Destroys the loaded batch and the activations.
  [[nodiscard]] EvalMetrics run(Gpt& gpt, std::int64_t step) const;
  [[nodiscard]] std::int64_t num_batches() const { return num_batches_; }
  /// Perplexity and bits per byte of a loss on this text.
  [[nodiscard]] EvalMetrics describe(std::int64_t step, double loss) const;

 private:
  /// Fills one batch and returns how many targets it has.
  std::int64_t fill(std::int64_t batch, std::span<std::int32_t> inputs, std::span<std::int32_t> targets) const;

  std::span<const std::int32_t> tokens_;
  double bytes_per_token_;
  std::int64_t batch_size_;
  std::int64_t length_;
  std::int64_t total_batches_;
  std::int64_t num_batches_;
};

}  // namespace virgil
