#include "virgil/train/evaluator.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/data/index_permutation.h"

namespace virgil {

namespace {

/// The first `count` windows in a random order of `total`, in the text's order.
std::vector<std::int64_t> sample_windows(std::int64_t total, std::int64_t count) {
  constexpr std::uint64_t kSeed = 0x76616C;  // never another: a run's losses shall compare with those of the next
  const IndexPermutation order(static_cast<std::uint64_t>(total), kSeed, 0);
  std::vector<std::int64_t> windows(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < windows.size(); ++i) windows[i] = static_cast<std::int64_t>(order(i));
  std::ranges::sort(windows);
  return windows;
}

}  // namespace

Evaluator::Evaluator(TokenSequence tokens, std::int64_t text_bytes, const EvaluationOptions& options)
    : tokens_(std::move(tokens)), options_(options) {
  const auto count = static_cast<std::int64_t>(tokens_.size());
  const std::int64_t T = options.length;
  VIRGIL_CHECK(options.batch_size >= 1 && T >= 1 && options.max_batches >= 0, "batch_size {}, length {}, max_batches {}",
               options.batch_size, T, options.max_batches);
  if (count < 2) {
    throw user_error("the text to evaluate on has {} token{}, but at least 2 are needed: {}", count, count == 1 ? "" : "s",
                     options.remedy);
  }
  if (options.stride < 1 || options.stride > T) {
    throw user_error("stride is {}: choose 1 (slowest, most context) to {} (the window's length)", options.stride, T);
  }
  bytes_per_token_ = static_cast<double>(text_bytes) / static_cast<double>(count);
  // The first window predicts T tokens, each later one `stride` more.
  total_windows_ = 1 + ceil_div(std::max<std::int64_t>(0, count - 1 - T), options.stride);
  if (options.max_windows > 0 && options.max_windows < total_windows_)
    sample_ = sample_windows(total_windows_, options.max_windows);
  total_batches_ = ceil_div(candidates(), options.batch_size);
  num_batches_ = options.max_batches > 0 ? std::min(options.max_batches, total_batches_) : total_batches_;
}

std::int64_t Evaluator::window_of(std::int64_t batch, std::int64_t row) const {
  const std::int64_t place = batch * options_.batch_size + row;
  // Beyond the last one stand windows that lie behind the text.
  return place >= candidates() ? total_windows_ : sample_.empty() ? place : sample_[static_cast<std::size_t>(place)];
}

template <typename Visit>
void Evaluator::for_each_target(std::int64_t batch, Visit&& visit) const {
  const std::int64_t T = options_.length;
  for (std::int64_t row = 0; row < options_.batch_size; ++row) {
    const std::int64_t window = window_of(batch, row);
    for (std::int64_t t = window == 0 ? 0 : T - options_.stride; t < T; ++t) {
      const std::int64_t predicted = window * options_.stride + t + 1;
      if (predicted >= static_cast<std::int64_t>(tokens_.size())) break;
      visit(static_cast<std::size_t>(row * T + t), static_cast<std::size_t>(predicted));
    }
  }
}

std::int64_t Evaluator::fill(std::int64_t batch, std::span<std::int32_t> inputs, std::span<std::int32_t> targets) const {
  const std::int64_t T = options_.length;
  const auto num_targets = static_cast<std::int64_t>(tokens_.size()) - 1;
  for (std::int64_t row = 0; row < options_.batch_size; ++row) {
    for (std::int64_t t = 0; t < T; ++t) {
      const std::int64_t at = token_at(batch, row, t);
      inputs[static_cast<std::size_t>(row * T + t)] = at < num_targets ? tokens_[static_cast<std::size_t>(at)] : 0;
    }
  }
  std::ranges::fill(targets, -1);
  std::int64_t filled = 0;
  for_each_target(batch, [&](std::size_t place, std::size_t predicted) {
    targets[place] = tokens_[predicted];
    ++filled;
  });
  return filled;
}

void Evaluator::add_to_parts(std::int64_t batch, Gpt& gpt, EvaluationDetail& detail) const {
  std::vector<float> losses(static_cast<std::size_t>(options_.batch_size * options_.length));
  gpt.read_losses(losses);
  for_each_target(batch, [&](std::size_t place, std::size_t predicted) {
    const auto end = std::ranges::upper_bound(detail.part_ends, predicted);
    PartLoss& part = detail.parts[static_cast<std::size_t>(end - detail.part_ends.begin())];
    part.loss_sum += losses[place];
    ++part.num_tokens;
  });
}

std::int64_t Evaluator::candidates() const { return sample_.empty() ? total_windows_ : std::ssize(sample_); }

std::int64_t Evaluator::num_windows() const { return std::min(num_batches_ * options_.batch_size, candidates()); }

EvalMetrics Evaluator::run(Gpt& gpt, std::int64_t step, const Ranks& ranks, ProgressMonitor* progress,
                           EvaluationDetail* detail) const {
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::int32_t> inputs(static_cast<std::size_t>(options_.batch_size * options_.length));
  std::vector<std::int32_t> targets(inputs.size());
  const std::int64_t size = ranks.size();
  if (detail != nullptr) {
    VIRGIL_CHECK(size == 1, "detail of {} ranks", size);
    detail->parts.assign(detail->part_ends.size(), {});
  }
  std::vector<double> losses(static_cast<std::size_t>(ceil_div(num_batches_, size)));  // of this rank's batches
  std::int64_t num_tokens = 0;
  ProgressPhase phase(progress, "evaluating", "windows", num_windows());
  std::int64_t done = 0;
  bool stopped = false;
  for (std::int64_t i = 0; i < num_batches_; ++i) {
    const std::int64_t batch = i * total_batches_ / num_batches_;
    num_tokens += fill(batch, inputs, targets);
    if (i % size != ranks.rank()) continue;
    // With others a stop is agreed on below: they wait there.
    stopped = progress != nullptr && progress->stop_requested();
    if (stopped) break;
    gpt.load_batch(inputs, targets);
    const double loss = losses[static_cast<std::size_t>(i / size)] = gpt.evaluate();
    if (detail != nullptr && !std::isfinite(loss)) {
      detail->first_non_finite_batch = batch;
      break;
    }
    if (detail != nullptr && detail->parts.size() > 1) add_to_parts(batch, gpt, *detail);
    const std::int64_t all_done = std::min(num_windows(), (i + size) * options_.batch_size);
    phase.note(all_done - std::exchange(done, all_done));
  }
  const StepExchange all = exchange_step(ranks, losses, {}, stopped);
  if (all.stop_requested) throw Stopped();
  double loss_sum = 0;
  for (const double loss : all.losses) loss_sum += loss;
  EvalMetrics metrics = describe(step, loss_sum / static_cast<double>(num_tokens));
  metrics.num_tokens = num_tokens;
  metrics.num_windows = num_windows();
  metrics.total_windows = total_windows_;
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
