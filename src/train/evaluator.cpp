#include "virgil/train/evaluator.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "virgil/base/error.h"

namespace virgil {

Evaluator::Evaluator(TokenSequence tokens, std::int64_t text_bytes, const EvaluationOptions& options)
    : tokens_(std::move(tokens)), options_(options) {
  const auto count = static_cast<std::int64_t>(tokens_.size());
  const std::int64_t T = options.length;
  VIRGIL_CHECK(options.batch_size >= 1 && T >= 1 && options.max_batches >= 0, "batch_size {}, length {}, max_batches {}",
               options.batch_size, T, options.max_batches);
  if (count < 2) {
    throw user_error(
        "the text to evaluate on has {} token{}, but at least 2 are needed: give a longer one (raise val_fraction)", count,
        count == 1 ? "" : "s");
  }
  if (options.stride < 1 || options.stride > T) {
    throw user_error("stride is {}: choose 1 (slowest, most context) to {} (the window's length)", options.stride, T);
  }
  bytes_per_token_ = static_cast<double>(text_bytes) / static_cast<double>(count);
  // The first window predicts T tokens, each later one `stride` more.
  const std::int64_t num_windows = 1 + ceil_div(std::max<std::int64_t>(0, count - 1 - T), options.stride);
  total_batches_ = ceil_div(num_windows, options.batch_size);
  num_batches_ = options.max_batches > 0 ? std::min(options.max_batches, total_batches_) : total_batches_;
}

std::int64_t Evaluator::fill(std::int64_t batch, std::span<std::int32_t> inputs, std::span<std::int32_t> targets) const {
  const std::int64_t T = options_.length;
  const auto num_targets = static_cast<std::int64_t>(tokens_.size()) - 1;
  std::int64_t filled = 0;
  for (std::int64_t row = 0; row < options_.batch_size; ++row) {
    const std::int64_t window = batch * options_.batch_size + row;
    const std::int64_t first_new = window == 0 ? 0 : T - options_.stride;
    for (std::int64_t t = 0; t < T; ++t) {
      const std::int64_t at = window * options_.stride + t;
      const bool inside = at < num_targets;
      const bool predicted = inside && t >= first_new;
      const auto i = static_cast<std::size_t>(row * T + t);
      inputs[i] = inside ? tokens_[static_cast<std::size_t>(at)] : 0;
      targets[i] = predicted ? tokens_[static_cast<std::size_t>(at) + 1] : -1;
      filled += predicted ? 1 : 0;
    }
  }
  return filled;
}

EvalMetrics Evaluator::run(Gpt& gpt, std::int64_t step, const Ranks& ranks) const {
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::int32_t> inputs(static_cast<std::size_t>(options_.batch_size * options_.length));
  std::vector<std::int32_t> targets(inputs.size());
  const std::int64_t size = ranks.size();
  std::vector<double> losses(static_cast<std::size_t>(ceil_div(num_batches_, size)));  // of this rank's batches
  std::int64_t num_tokens = 0;
  for (std::int64_t i = 0; i < num_batches_; ++i) {
    num_tokens += fill(i * total_batches_ / num_batches_, inputs, targets);
    if (i % size != ranks.rank()) continue;
    gpt.load_batch(inputs, targets);
    losses[static_cast<std::size_t>(i / size)] = gpt.evaluate();
  }
  double loss_sum = 0;
  for (const double loss : exchange_step(ranks, losses, {}, false).losses) loss_sum += loss;
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
