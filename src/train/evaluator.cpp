#include "virgil/train/evaluator.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>
#include <vector>

#include "virgil/base/error.h"

namespace virgil {

Evaluator::Evaluator(std::span<const std::int32_t> tokens, std::int64_t text_bytes, const StepShape& shape,
                     std::int64_t max_batches)
    : tokens_(tokens), bytes_per_token_(0), batch_size_(shape.batch_size), length_(shape.length) {
  const auto count = static_cast<std::int64_t>(tokens.size());
  if (count < 2) throw user_error("the held-out text has {} tokens: at least 2 are needed; raise val_fraction", count);
  bytes_per_token_ = static_cast<double>(text_bytes) / static_cast<double>(count);
  total_batches_ = ceil_div(ceil_div(count - 1, length_), batch_size_);
  num_batches_ = max_batches > 0 ? std::min(max_batches, total_batches_) : total_batches_;
}

std::int64_t Evaluator::fill(std::int64_t batch, std::span<std::int32_t> inputs, std::span<std::int32_t> targets) const {
  const auto num_targets = static_cast<std::int64_t>(tokens_.size()) - 1;
  std::int64_t filled = 0;
  for (std::int64_t i = 0; i < batch_size_ * length_; ++i) {
    const std::int64_t at = batch * batch_size_ * length_ + i;
    const bool inside = at < num_targets;
    inputs[static_cast<std::size_t>(i)] = inside ? tokens_[static_cast<std::size_t>(at)] : 0;
    targets[static_cast<std::size_t>(i)] = inside ? tokens_[static_cast<std::size_t>(at) + 1] : -1;
    filled += inside ? 1 : 0;
  }
  return filled;
}

EvalMetrics Evaluator::run(Gpt& gpt, std::int64_t step) const {
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::int32_t> inputs(static_cast<std::size_t>(batch_size_ * length_));
  std::vector<std::int32_t> targets(inputs.size());
  double loss_sum = 0;
  std::int64_t num_tokens = 0;
  for (std::int64_t i = 0; i < num_batches_; ++i) {
    num_tokens += fill(i * total_batches_ / num_batches_, inputs, targets);
    gpt.load_batch(inputs, targets);
    loss_sum += gpt.evaluate();
  }
  EvalMetrics metrics = describe(step, loss_sum / static_cast<double>(num_tokens));
  metrics.num_tokens = num_tokens;
  metrics.elapsed_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return metrics;
}

EvalMetrics Evaluator::describe(std::int64_t step, double loss) const {
  EvalMetrics metrics;
  metrics.step = step;
  metrics.loss = loss;
  metrics.perplexity = std::exp(loss);
  metrics.bits_per_byte = loss / std::numbers::ln2 / bytes_per_token_;
  return metrics;
}

}  // namespace virgil
