// A step of the trainer: gradients of its micro-steps, their sum over the ranks, the update, and what is told of it.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "train/gradient_exchange.h"
#include "train/trainer_time.h"
#include "virgil/base/format.h"
#include "virgil/base/progress.h"
#include "virgil/base/unix_time.h"
#include "virgil/optim/non_finite.h"
#include "virgil/optim/step_figures.h"
#include "virgil/plan/estimates.h"
#include "virgil/train/trainer.h"

namespace virgil {

StepMetrics Trainer::train_step() {
  const auto start = std::chrono::steady_clock::now();
  StepMetrics metrics;
  metrics.step = state_.step;
  metrics.max_steps = config_.max_iters;
  accumulate_micro_steps();
  if (exchange_) {  // so that each rank's own time can be told
    await_collectives();
    parts_.backend.synchronize();
  }
  const double compute_ms = milliseconds_since(start);
  sum_gradients();
  update(metrics, compute_ms);
  ++state_.step;
  state_.tokens_seen += config_.total_batch_size;
  measure(metrics, milliseconds_since(start));
  metrics.evaluation = std::exchange(pending_evaluation_, std::nullopt);
  return metrics;
}

/// Asks for the gradients of the mean loss over all micro-steps, times the loss scale.
void Trainer::accumulate_micro_steps() {
  const double remaining_s = predict_run_time(config_, state_.step, pace_).total_s();
  zero_gradients();
  for (std::int64_t micro = 0; micro < config_.grad_accum_steps; ++micro) {
    // Gradients of a part of the step are of no use: a resumed run does it again. The others would wait for this one's.
    if (micro > 0 && !exchange_ && parts_.progress.stop_requested()) throw Stopped();
    const bool is_last = micro + 1 == config_.grad_accum_steps;
    tell_step_under_way(micro + 1, remaining_s);
    enqueue_micro_step(micro, exchange_ ? exchange_->observe(is_last) : nullptr);
  }
}

/// A device that computes in the machine's memory is done when an op returns; another works behind the host.
void Trainer::tell_step_under_way(std::int64_t begun, double remaining_s) {
  const StepUnderWay step{.step = state_.step,
                          .max_steps = config_.max_iters,
                          .micro_steps = config_.grad_accum_steps,
                          .begun = begun,
                          .done = works_behind_host_ ? 0 : begun - 1,
                          .expected_s = pace_.step_s,
                          .remaining_s = remaining_s};
  parts_.console.step_under_way(&step);
}

void Trainer::zero_gradients() {
  if (exchange_) {
    exchange_->begin_step();
  } else {
    gpt_.zero_gradients();
  }
}

void Trainer::enqueue_micro_step(std::int64_t micro, GradientObserver* observer) {
  const double scale = scaler_ ? scaler_->scale() : 1;
  const auto grad_scale = static_cast<float>(scale / static_cast<double>(config_.total_batch_size));
  prepare_batch(state_.step, micro);
  gpt_.load_batch(batch_);
  gpt_.enqueue_gradients(grad_scale, {config_.seed, static_cast<std::uint32_t>(state_.step), first_sequence(micro)}, micro,
                         observer);
}

/// Asks for their sum over all ranks, and for its norm. The first batch of the next step is drawn while the device computes.
void Trainer::sum_gradients() {
  if (exchange_) exchange_->finish_step(optimizer_);
  optimizer_.enqueue_norm(scaler_ ? scaler_->scale() : 1);
  prepare_batch(state_.step + 1, 0);
}

/// Before the host reads what collectives bring: a lost rank is an error here, and nothing to wait for ever behind.
void Trainer::await_collectives() {
  if (exchange_) parts_.ranks.communicator->finish();
}

/// Number within the step of the first sequence of this rank's micro-step: the ranks take turns, so that together they see what
/// one process would.
std::int64_t Trainer::first_sequence(std::int64_t micro) const {
  return (micro * parts_.ranks.size() + parts_.ranks.rank()) * parts_.plan.step().batch_size;
}

/// Draws a micro-step's sequences, unless they are at hand. They depend on the numbers alone, so when it is done is of no
/// matter.
void Trainer::prepare_batch(std::int64_t step, std::int64_t micro) {
  if (prepared_ == std::pair(step, micro)) return;
  sampler_.fill(step, first_sequence(micro), batch_.inputs(), batch_.next_tokens());
  prepared_ = {step, micro};
}

/// Waits for the step's figures, the one time in a step, and asks for the update unless they are bad.
void Trainer::update(StepMetrics& metrics, double compute_ms) {
  metrics.learning_rate = schedule_.at(state_.step);
  const double scale = scaler_ ? scaler_->scale() : 1;
  if (scaler_) metrics.loss_scale = scale;
  await_collectives();
  const StepFigures figures = read_step_figures(parts_.backend, parts_.plan, parts_.memory);
  // Before the update: a rank that fails in it has told its figures.
  const StepExchange all = exchange_step(parts_.ranks, figures.loss_sums, exchange_ ? rank_step(compute_ms) : RankStep{},
                                         exchange_ && parts_.progress.stop_requested());
  metrics.loss = std::accumulate(all.losses.begin(), all.losses.end(), 0.0) / static_cast<double>(config_.total_batch_size);
  metrics.ranks = all.ranks;
  stop_agreed_ = all.stop_requested;
  const bool finite_loss = std::isfinite(metrics.loss);
  metrics.grad_norm = finite_loss ? figures.grad_norm : metrics.loss;
  metrics.updated = std::isfinite(metrics.grad_norm);
  if (metrics.updated) {
    optimizer_.enqueue_update(state_.step + 1, metrics.learning_rate, scale);
    if (exchange_) exchange_->share_update();
  }
  // The scale has no part in the loss itself: another scale would not make the loss finite.
  const bool scale_may_help = scaler_ && finite_loss && !scaler_->is_at_minimum();
  if (metrics.updated) {
    bad_steps_ = 0;
  } else if (scale_may_help) {
    report_overflow();
  } else {
    report_non_finite(metrics.loss);
  }
  if (scaler_ && finite_loss) scaler_->update(metrics.updated);
}

void Trainer::report_overflow() {
  parts_.console.info(
      fmt::format("step {}: gradients overflow float16 at the loss scale {}; the update was not applied, the scale is halved",
                  state_.step, scaler_->scale()));
}

/// Fills in what follows from the time a step took. The step has been counted.
void Trainer::measure(StepMetrics& metrics, double elapsed_ms) {
  metrics.elapsed_ms = elapsed_ms;
  // The first step makes the libraries' code. A running mean follows a machine that changes its pace.
  const std::int64_t num_steps = state_.step - first_step_;
  pace_.step_s = num_steps <= 2 ? elapsed_ms / 1000 : 0.9 * pace_.step_s + 0.1 * elapsed_ms / 1000;
  metrics.time_s = unix_seconds();
  metrics.tokens = state_.tokens_seen;
  metrics.epoch = static_cast<double>(state_.tokens_seen) / static_cast<double>(parts_.train_data.tokens.size());
  metrics.tokens_per_s = static_cast<double>(config_.total_batch_size) / elapsed_ms * 1000;
  metrics.model_gflops = model_flops_per_token(parts_.plan.model()) * metrics.tokens_per_s / 1e9;
  if (parts_.matmul_gflops > 0) metrics.mfu = metrics.model_gflops / parts_.matmul_gflops;
  const RunTime left = predict_run_time(config_, state_.step, pace_);
  metrics.remaining_s = left.total_s();
  constexpr std::int64_t kStepsToTell = 3;
  if (parts_.tells_time && num_steps == kStepsToTell) {
    parts_.console.info(fmt::format("time     {} (by the last steps)", describe_run_time(left)));
  }
  metrics.is_logged = is_due(metrics.step, config_.log_interval) ||
                      (config_.log_interval > 0 && state_.step == config_.max_iters) || !metrics.updated;
  metrics.memory = memory_use();
}

void Trainer::report_non_finite(double loss) {
  ++bad_steps_;
  const std::int64_t rank = parts_.ranks.rank();
  const std::string weight = first_named(find_non_finite_weight(parts_.backend, parts_.plan, parts_.memory, rank));
  const std::string gradient = first_named(find_non_finite_gradient(parts_.backend, parts_.plan, parts_.memory, rank));
  std::string what = std::isfinite(loss) ? "" : fmt::format("the loss is {}; ", plain_nan(loss));
  what += !weight.empty()     ? fmt::format("the weight {} is not finite", weight)
          : !gradient.empty() ? fmt::format("the gradient of {} is not finite", gradient)
                              : "the norm of all gradients together overflows";
  parts_.console.warn(fmt::format("step {}: {}; the update was not applied ({} in a row, the run stops at {})", state_.step,
                                  what, bad_steps_, config_.max_bad_steps));
}

/// The parameter that stands first in the model among those that the ranks name.
std::string Trainer::first_named(const std::string& mine) const {
  if (parts_.ranks.size() == 1) return mine;
  const std::vector<std::string> names = parts_.ranks.group->all_gather_texts(mine);
  for (const ParameterSpec& spec : parts_.plan.parameters().parameters()) {
    if (std::ranges::find(names, spec.name) != names.end()) return spec.name;
  }
  return {};
}

RankStep Trainer::rank_step(double compute_ms) const {
  const MemoryUse memory = memory_use();
  return {.compute_ms = compute_ms,
          .allocated_bytes = memory.allocated_bytes,
          .peak_bytes = memory.peak_bytes,
          .process_rss_bytes = memory.process_rss_bytes,
          .device_used_bytes = memory.device ? memory.device->total_bytes - memory.device->free_bytes : 0};
}

MemoryUse Trainer::memory_use() const {
  const ProcessMemory process = read_process_memory();
  return {.planned_bytes = parts_.plan.total_bytes(),
          .allocated_bytes = parts_.tracker.current().total(),
          .peak_bytes = parts_.tracker.peak_bytes(),
          .by_category = parts_.tracker.current(),
          .planned_by_category = parts_.plan.by_category(),
          .peak_by_category = parts_.tracker.peak(),
          .process_rss_bytes = process.rss_bytes,
          .process_peak_bytes = process.peak_bytes,
          .device = parts_.backend.device_memory()};
}

}  // namespace virgil
