#include "virgil/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>

#include "train/gradient_exchange.h"
#include "train/trainer_time.h"
#include "virgil/base/error.h"
#include "virgil/base/non_finite_error.h"
#include "virgil/generate/prompt.h"
#include "virgil/generate/text_generator.h"
#include "virgil/generate/text_stream.h"
#include "virgil/plan/estimates.h"
#include "virgil/train/early_end.h"
#include "virgil/train/schedule_config.h"

namespace virgil {

namespace {

/// Of an evaluation with eval_iters auto, as a share of the tokens trained on between two: predicting costs a third of
/// training.
constexpr std::int64_t kEvalTokensShare = 10;
/// Never fewer: a text of this length is evaluated whole, and the mean of so many losses is known to about 0.01 nats.
constexpr std::int64_t kLeastEvalTokens = std::int64_t{1} << 16;
/// Nor more: by then the mean is known to 0.003 nats, and the time is better spent on training.
constexpr std::int64_t kMostEvalTokens = std::int64_t{1} << 19;

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

}  // namespace

std::int64_t auto_eval_tokens(const TrainConfig& config) {
  const std::int64_t between = config.eval_interval > kMostEvalTokens * kEvalTokensShare / config.total_batch_size
                                   ? kMostEvalTokens * kEvalTokensShare
                                   : config.eval_interval * config.total_batch_size;
  return std::max(config.block_size, std::clamp(between / kEvalTokensShare, kLeastEvalTokens, kMostEvalTokens));
}

Trainer::Trainer(const TrainerParts& parts)
    : parts_(parts),
      config_(parts.config),
      gpt_(parts.backend, parts.plan, parts.memory, parts.ranks.rank()),
      optimizer_(parts.backend, parts.plan, parts.memory, optimizer_options_of(config_), parts.ranks.rank()),
      schedule_(lr_schedule_of(config_)),
      sampler_(parts.train_data.tokens, config_.block_size, config_.seed, epoch_sampling(config_)),
      data_watches_{DataWatch(&parts.train_data), DataWatch(parts.val_data)},
      batch_(parts.plan.step()),
      works_behind_host_(parts.backend.device_memory().has_value()),
      pace_{.step_s = parts.expected_step_s} {
  const StepShape& shape = parts.plan.step();
  if (parts.ranks.size() > 1) {
    exchange_ = std::make_unique<GradientExchange>(parts.backend, parts.plan, parts.memory, *parts.ranks.communicator);
  }
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
  tally_ = {.tokens_per_epoch = static_cast<double>(parts_.train_data.tokens.size()),
            .flops_per_token = model_flops_per_token(parts_.plan.model())};
  const auto start = std::chrono::steady_clock::now();
  const RunStatus status = train();
  tally_.total_s = milliseconds_since(start) / 1000;
  return status;
}

RunStatus Trainer::train() {
  constexpr std::chrono::seconds kBetweenLooksAtData(10);
  first_step_ = state_.step;
  if (state_.step > 0) start_writing();  // an evaluation may save the best
  try {
    while (state_.step < config_.max_iters) {
      for (DataWatch& watch : data_watches_) watch.check_every(kBetweenLooksAtData);
      foresee_stop(false);
      evaluate_if_due(false);
      if (ends_early(config_, state_)) break;
      sample_if_due();
      save_if_due();
      if (stop_is_due()) return stop();
      foresee_stop(true);
      const StepMetrics metrics = train_step();
      start_writing();
      const LossHistory& losses = parts_.record.add_loss(metrics.loss);
      count(metrics, losses);
      parts_.console.step(metrics, losses);
      parts_.record.step(metrics);
      if (bad_steps_ >= config_.max_bad_steps) return RunStatus::kDiverged;
    }
    foresee_stop(false);
    evaluate_if_due(true);
  } catch (const Stopped&) {
    return stop();
  }
  start_writing();
  // Before the checkpoint: a run whose last checkpoint stands is whole, whenever the process dies.
  if (pending_evaluation_) parts_.record.final_evaluation(*pending_evaluation_);
  save(step_checkpoint_name(state_.step));
  sample_if_due();
  parts_.record.final_sample();
  return RunStatus::kFinished;
}

void Trainer::count(const StepMetrics& metrics, const LossHistory& losses) {
  ++tally_.steps;
  tally_.tokens += config_.total_batch_size;
  tally_.steps_s += metrics.elapsed_ms / 1000;
  tally_.loss = metrics.loss;
  tally_.smoothed_loss = losses.empty() ? metrics.loss : losses.smoothed();
}

/// With several processes a stop is agreed on once a step, and an evaluation agrees by itself.
bool Trainer::stop_is_due() { return exchange_ ? stop_agreed_ : parts_.progress.stop_requested(); }

/// What was begun at this step is dropped, and done again by a resumed run. Weights that no update has changed are kept by
/// nobody.
RunStatus Trainer::stop() {
  parts_.console.step_under_way(nullptr);
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
    parts_.progress.foresee_stop(when, "a checkpoint is written, to resume from", false);
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
      "memorising the training text; stop here and use {}, or train with more text or dropout",
      rising_evaluations_, state_.last_val_loss, state_.best_val_loss, state_.best_step, (parts_.run / "best").string()));
}

void Trainer::sample_if_due() {
  const bool is_last = state_.step == config_.max_iters || ends_early(config_, state_);
  const bool due = is_due(state_.step, config_.sample_interval) || is_last;
  if (!decoder_ || !due || state_.step == 0 || !parts_.ranks.is_root()) return;
  GenerationOptions options;
  options.sampling = {.temperature = config_.sample_temperature, .top_k = config_.sample_top_k};
  options.max_new_tokens = config_.sample_tokens;
  options.seed = config_.seed;
  options.step = static_cast<std::uint32_t>(state_.step);
  options.num_choices = parts_.tokenizer.vocab_size();
  const auto start = std::chrono::steady_clock::now();
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
  sample += text.finish();
  parts_.console.sample(state_.step, sample);
  parts_.record.sample(state_.step, sample);
}

void Trainer::save_if_due() {
  // While steps are bad the weights are under suspicion: nothing may take the place of the last good checkpoint.
  if (state_.step > 0 && bad_steps_ == 0 && is_due(state_.step, config_.save_interval)) save(step_checkpoint_name(state_.step));
}

}  // namespace virgil
