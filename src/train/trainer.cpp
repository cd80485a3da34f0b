#include "virgil/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <string_view>
#include <utility>

#include "train/gradient_exchange.h"
#include "virgil/base/error.h"
#include "virgil/base/non_finite_error.h"
#include "virgil/optim/step_figures.h"
#include "virgil/train/schedule_config.h"
#include "virgil/train/text_generator.h"
#include "virgil/train/text_stream.h"

namespace virgil {

namespace {

using Clock = std::chrono::steady_clock;

/// Of an evaluation with eval_iters auto, as a share of the tokens trained on between two: predicting costs a third of
/// training.
constexpr std::int64_t kEvalTokensShare = 10;
/// Never fewer: a text of this length is evaluated whole, and the mean of so many losses is known to about 0.01 nats.
constexpr std::int64_t kLeastEvalTokens = std::int64_t{1} << 16;
/// Nor more: by then the mean is known to 0.003 nats, and the time is better spent on training.
constexpr std::int64_t kMostEvalTokens = std::int64_t{1} << 19;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// Without a text, the model begins a document.
std::vector<std::int32_t> encode_sample_prompt(const Tokenizer& tokenizer, const std::string& prompt) {
  std::vector<std::int32_t> tokens = tokenizer.encode(prompt);
  if (tokens.empty() && tokenizer.end_of_text() >= 0) tokens.push_back(tokenizer.end_of_text());
  if (tokens.empty()) {
    throw user_error("sample_prompt is empty, and the tokenizer {} has no token to begin with: give at least one character",
                     tokenizer.name());
  }
  return tokens;
}

std::optional<EpochSampling> epoch_sampling(const TrainConfig& config) {
  if (config.sampling != "epoch") return std::nullopt;
  return EpochSampling{.sequences_per_step = config.total_batch_size / config.block_size};
}

EvaluationOptions evaluation_options(const TrainConfig& config, const StepShape& shape) {
  EvaluationOptions options{.batch_size = shape.batch_size, .length = shape.length, .stride = shape.length};
  options.remedy = config.val_input.empty() ? "raise val_fraction, or give a longer text" : "give a longer text as val_input";
  if (config.eval_iters == kAutoEvalIters) {
    options.max_windows = auto_eval_tokens(config) / shape.length;
  } else {
    options.max_batches = config.eval_iters;
  }
  return options;
}

bool is_due(std::int64_t step, std::int64_t interval) { return interval > 0 && step % interval == 0; }

}  // namespace

std::int64_t auto_eval_tokens(const TrainConfig& config) {
  const std::int64_t between = config.eval_interval > kMostEvalTokens * kEvalTokensShare / config.total_batch_size
                                   ? kMostEvalTokens * kEvalTokensShare
                                   : config.eval_interval * config.total_batch_size;
  return std::max(config.block_size, std::clamp(between / kEvalTokensShare, kLeastEvalTokens, kMostEvalTokens));
}

double model_flops_per_token(const ModelConfig& model) {
  const std::int64_t C = model.embedding_dim();
  // An embedding that is only looked up multiplies nothing; tied, it is the head.
  const std::int64_t looked_up = model.block_size() * C + (model.tie_weights() ? 0 : model.padded_vocab_size() * C);
  const auto parameters = static_cast<double>(ParameterLayout(model).num_parameters() - looked_up);
  return 6 * parameters + 6 * static_cast<double>(model.num_layers() * C * model.block_size());
}

Trainer::Trainer(const TrainerParts& parts)
    : parts_(parts),
      config_(parts.config),
      gpt_(parts.backend, parts.plan, parts.memory, parts.ranks.rank()),
      optimizer_(parts.backend, parts.plan, parts.memory,
                 {.beta1 = config_.beta1,
                  .beta2 = config_.beta2,
                  .eps = config_.eps,
                  .weight_decay = config_.weight_decay,
                  .max_norm = config_.grad_clip,
                  .seed = config_.seed},
                 parts.ranks.rank()),
      schedule_(lr_schedule_of(config_)),
      sampler_(parts.train_data.tokens, config_.block_size, config_.seed, epoch_sampling(config_)),
      data_watches_{DataWatch(&parts.train_data), DataWatch(parts.val_data)} {
  const StepShape& shape = parts.plan.step();
  if (parts.ranks.size() > 1) {
    exchange_ = std::make_unique<GradientExchange>(parts.backend, parts.plan, parts.memory, *parts.ranks.communicator);
  }
  inputs_.resize(static_cast<std::size_t>(shape.batch_size * shape.length));
  targets_.resize(inputs_.size());
  if (parts.val_data != nullptr) {
    evaluator_.emplace(parts.val_data->tokens, parts.val_data->text_bytes, evaluation_options(config_, shape));
  }
  if (parts.plan.dtype() == DType::kFloat16) scaler_.emplace();
  if (config_.sample_interval > 0) {
    decoder_.emplace(parts.backend, parts.plan, parts.memory);
    sample_prompt_ = encode_sample_prompt(parts.tokenizer, config_.sample_prompt);
  }
}

Trainer::~Trainer() = default;

RunStatus Trainer::run() {
  constexpr std::chrono::seconds kBetweenLooksAtData(10);
  first_step_ = state_.step;
  if (state_.step > 0) start_writing();  // an evaluation may save the best
  try {
    while (state_.step < config_.max_iters) {
      for (DataWatch& watch : data_watches_) watch.check_every(kBetweenLooksAtData);
      foresee_stop(false);
      evaluate_if_due(false);
      sample_if_due();
      save_if_due();
      if (stop_is_due()) return stop();
      foresee_stop(true);
      const StepMetrics metrics = train_step();
      start_writing();
      parts_.console.step(metrics);
      parts_.jsonl.step(metrics);
      if (bad_steps_ >= config_.max_bad_steps) return RunStatus::kDiverged;
    }
    foresee_stop(false);
    evaluate_if_due(true);
  } catch (const Stopped&) {
    return stop();
  }
  start_writing();
  // Before the checkpoint: a run whose last checkpoint stands is whole, whenever the process dies.
  if (pending_evaluation_) parts_.jsonl.final_evaluation(*pending_evaluation_);
  save(step_checkpoint_name(state_.step));
  sample_if_due();
  return RunStatus::kFinished;
}

/// With several processes a stop is agreed on once a step, and an evaluation agrees by itself.
bool Trainer::stop_is_due() { return exchange_ ? stop_agreed_ : parts_.progress.stop_requested(); }

/// What was begun at this step is dropped, and done again by a run that goes on. Weights that no update has changed are kept by
/// nobody.
RunStatus Trainer::stop() {
  if (state_.step > 0) save(step_checkpoint_name(state_.step));
  return RunStatus::kInterrupted;
}

void Trainer::start_writing() {
  if (std::exchange(writing_, true)) return;
  foresee_stop(false);  // from now on the process must not be ended from outside
  if (parts_.begin_writing) parts_.begin_writing();
}

/// Until the first step is done a new run has nothing to keep, and has written nothing.
void Trainer::foresee_stop(bool in_step) {
  const bool whole_step = exchange_ || config_.grad_accum_steps == 1;
  const std::string_view when = !in_step ? "at once" : whole_step ? "after this step" : "after this micro-step";
  if (state_.step > 0 || writing_ || (in_step && whole_step)) {
    parts_.progress.foresee_stop(when, "a checkpoint is written, to go on from", false);
  } else {
    parts_.progress.foresee_stop(when, "no step has been made, so there is nothing to keep", !exchange_);
  }
}

void Trainer::evaluate_if_due(bool final_step) {
  const bool due = config_.eval_interval > 0 && (final_step || is_due(state_.step, config_.eval_interval));
  if (!evaluator_ || !due || state_.last_eval_step == state_.step) return;
  await_collectives();
  EvalMetrics evaluation = evaluator_->run(gpt_, state_.step, parts_.ranks, &parts_.progress);
  pace_.evaluation_s = evaluation.elapsed_ms / 1000;
  const double previous_loss = state_.last_val_loss;
  // The weights before the first update are nobody's best.
  evaluation.is_best = state_.step > 0 && evaluation.loss < state_.best_val_loss;
  state_.last_val_loss = evaluation.loss;
  state_.last_eval_step = state_.step;
  if (evaluation.is_best) {
    state_.best_val_loss = evaluation.loss;
    state_.best_step = state_.step;
  }
  last_saved_step_ = -1;  // a checkpoint of this step that stands does not know of it
  parts_.console.evaluation(evaluation);
  pending_evaluation_ = evaluation;
  warn_if_rising(previous_loss);
  if (evaluation.is_best) save("best");
}

void Trainer::warn_if_rising(double previous_loss) {
  const bool rising = state_.last_val_loss > state_.best_val_loss && state_.last_val_loss > previous_loss;
  rising_evaluations_ = rising ? rising_evaluations_ + 1 : 0;
  if (rising_evaluations_ < 2) return;
  parts_.console.warn(fmt::format(
      "validation loss has risen for {} evaluations, to {:.4f} from its best {:.4f} at step {}: the model is "
      "learning the training text by heart; stop here and use {}, or train with more text or dropout",
      rising_evaluations_, state_.last_val_loss, state_.best_val_loss, state_.best_step, (parts_.run / "best").string()));
}

void Trainer::sample_if_due() {
  const bool due = is_due(state_.step, config_.sample_interval) || state_.step == config_.max_iters;
  if (!decoder_ || !due || state_.step == 0 || !parts_.ranks.is_root()) return;
  GenerationOptions options;
  options.sampling = {.temperature = config_.sample_temperature, .top_k = config_.sample_top_k};
  options.max_new_tokens = config_.sample_tokens;
  options.seed = config_.seed;
  options.step = static_cast<std::uint32_t>(state_.step);
  options.num_choices = parts_.tokenizer.vocab_size();
  const auto start = Clock::now();
  TextGenerator generator(*decoder_, options);
  TextStream text(parts_.tokenizer, {});
  std::string sample = config_.sample_prompt;
  bool stopped = false;
  try {
    generator.run(sample_prompt_, [&](std::int64_t, std::int32_t token) {
      stopped = parts_.progress.stop_requested();
      if (stopped || token == parts_.tokenizer.end_of_text()) return false;
      sample += text.push(token);
      return true;
    });
  } catch (const NonFiniteError& error) {
    // Whether the run goes on is for its steps to say: max_bad_steps.
    parts_.console.warn(fmt::format("no sample at step {}: {}", state_.step, error.what()));
    return;
  }
  if (stopped) return;
  pace_.sample_s = milliseconds_since(start) / 1000;
  parts_.console.sample(state_.step, sample + text.finish());
}

void Trainer::save_if_due() {
  // While steps are bad the weights are under suspicion: nothing may take the place of the last good checkpoint.
  if (state_.step > 0 && bad_steps_ == 0 && is_due(state_.step, config_.save_interval)) save(step_checkpoint_name(state_.step));
}

StepMetrics Trainer::train_step() {
  const auto start = Clock::now();
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
  zero_gradients();
  for (std::int64_t micro = 0; micro < config_.grad_accum_steps; ++micro) {
    // Gradients of a part of the step are of no use: a run that goes on does it again. The others would wait for this one's.
    if (micro > 0 && !exchange_ && parts_.progress.stop_requested()) throw Stopped();
    const bool is_last = micro + 1 == config_.grad_accum_steps;
    enqueue_micro_step(micro, exchange_ ? exchange_->observe(is_last) : nullptr);
  }
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
  gpt_.load_batch(inputs_, targets_);
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
  sampler_.fill(step, first_sequence(micro), inputs_, targets_);
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
  // The scale has no part in the loss itself: a loss that is not finite is no matter of the scale.
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
  std::string what = std::isfinite(loss) ? "" : fmt::format("the loss is {}; ", loss);
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
          .process_before_bytes = parts_.process_before_bytes,
          .process_rss_bytes = process.rss_bytes,
          .process_peak_bytes = process.peak_bytes,
          .device = parts_.backend.device_memory()};
}

}  // namespace virgil
