#include "virgil/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "virgil/base/error.h"
#include "virgil/model/initializer.h"
#include "virgil/train/config_schema.h"
#include "virgil/train/run_folder.h"
#include "virgil/train/text_generator.h"

namespace virgil {

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

LrSchedule make_schedule(const TrainConfig& config) {
  const LrScheduleKind kind = config.lr_schedule == "cosine"   ? LrScheduleKind::kCosine
                              : config.lr_schedule == "linear" ? LrScheduleKind::kLinear
                              : config.lr_schedule == "wsd"    ? LrScheduleKind::kWsd
                                                               : LrScheduleKind::kConstant;
  return {.kind = kind,
          .max_lr = config.learning_rate,
          .min_lr = config.min_lr,
          .warmup_iters = config.warmup_iters,
          .decay_iters = config.lr_decay_iters,
          .wsd_decay_fraction = config.wsd_decay_fraction};
}

bool is_due(std::int64_t step, std::int64_t interval) { return interval > 0 && step % interval == 0; }

}  // namespace

double model_flops_per_token(const ModelConfig& model) {
  const std::int64_t C = model.embedding_dim();
  const auto parameters = static_cast<double>(ParameterLayout(model).num_parameters() - model.block_size() * C);
  return 6 * parameters + 6 * static_cast<double>(model.num_layers() * C * model.block_size());
}

Trainer::Trainer(const TrainerParts& parts)
    : parts_(parts),
      config_(parts.config),
      gpt_(parts.backend, parts.plan, parts.memory),
      decoder_(parts.backend, parts.plan, parts.memory),
      optimizer_(parts.backend, parts.plan, parts.memory,
                 {.beta1 = config_.beta1,
                  .beta2 = config_.beta2,
                  .eps = config_.eps,
                  .weight_decay = config_.weight_decay,
                  .max_norm = config_.grad_clip}),
      schedule_(make_schedule(config_)),
      sampler_(parts.train_data.tokens, config_.block_size, config_.seed) {
  if (parts.val_data != nullptr) {
    evaluator_.emplace(parts.val_data->tokens, parts.val_data->text_bytes, parts.plan.step(), config_.eval_iters);
  }
}

void Trainer::initialize() {
  initialize_parameters(parts_.backend, parts_.plan.parameters(), gpt_.weights(), config_.seed);
  optimizer_.reset();
  state_.seed = config_.seed;
  state_.data_fingerprint = parts_.train_data.fingerprint;
  state_.config_json = config_to_json(config_);
}

void Trainer::restore(const LoadedCheckpoint& checkpoint) {
  if (checkpoint.optimizer == nullptr) {
    throw user_error("{}: has no optimizer state, so a run cannot go on from it", checkpoint.directory.string());
  }
  if (checkpoint.state.data_fingerprint != parts_.train_data.fingerprint) {
    throw user_error("{}: was trained on other data than {}; give the run's own text", checkpoint.directory.string(),
                     config_.input);
  }
  // Alignment gaps and padding rows are not in the files: they are zero.
  for (const TensorView& flat : {gpt_.weights(), optimizer_.first_moments(), optimizer_.second_moments()}) {
    parts_.backend.set_zero(flat);
  }
  load(checkpoint.parameters, "", gpt_.weights());
  load(*checkpoint.optimizer, "m.", optimizer_.first_moments());
  load(*checkpoint.optimizer, "v.", optimizer_.second_moments());
  state_ = checkpoint.state;
  state_.config_json = config_to_json(config_);
  last_saved_step_ = state_.step;
  if (evaluator_ && state_.last_eval_step == state_.step) {
    pending_evaluation_ = evaluator_->describe(state_.step, state_.last_val_loss);
  }
}

RunStatus Trainer::run() {
  while (state_.step < config_.max_iters) {
    evaluate_if_due(false);
    sample_if_due();
    save_if_due();
    if (parts_.stop_requested()) {
      save(step_checkpoint_name(state_.step));
      return RunStatus::kInterrupted;
    }
    const StepMetrics metrics = train_step();
    parts_.console.step(metrics);
    parts_.jsonl.step(metrics);
    if (bad_steps_ >= config_.max_bad_steps) return RunStatus::kDiverged;
  }
  evaluate_if_due(true);
  save(step_checkpoint_name(state_.step));
  sample_if_due();
  if (pending_evaluation_) parts_.jsonl.final_evaluation(*pending_evaluation_);
  return RunStatus::kFinished;
}

void Trainer::evaluate_if_due(bool final_step) {
  const bool due = config_.eval_interval > 0 && (final_step || is_due(state_.step, config_.eval_interval));
  if (!evaluator_ || !due || state_.last_eval_step == state_.step) return;
  EvalMetrics evaluation = evaluator_->run(gpt_, state_.step);
  const double previous_loss = state_.last_val_loss;
  evaluation.is_best = evaluation.loss < state_.best_val_loss;
  state_.last_val_loss = evaluation.loss;
  state_.last_eval_step = state_.step;
  if (evaluation.is_best) {
    state_.best_val_loss = evaluation.loss;
    state_.best_step = state_.step;
  }
  parts_.console.evaluation(evaluation);
  pending_evaluation_ = evaluation;
  warn_if_rising(previous_loss);
  // The weights before the first update are nobody's best.
  if (evaluation.is_best && state_.step > 0) save("best");
}

void Trainer::warn_if_rising(double previous_loss) {
  const bool rising = state_.last_val_loss > state_.best_val_loss && state_.last_val_loss > previous_loss;
  rising_evaluations_ = rising ? rising_evaluations_ + 1 : 0;
  if (rising_evaluations_ < 2) return;
  parts_.console.warn(fmt::format(
      "validation loss has risen for {} evaluations, to {:.4f} from its best {:.4f} at step {}: the model is learning the "
      "training "
      "text by heart; stop here and use {}, or train with more text or dropout",
      rising_evaluations_, state_.last_val_loss, state_.best_val_loss, state_.best_step, (parts_.run / "best").string()));
}

void Trainer::sample_if_due() {
  const bool due = is_due(state_.step, config_.sample_interval) || state_.step == config_.max_iters;
  if (config_.sample_interval == 0 || !due || state_.step == 0) return;
  GenerationOptions options;
  options.sampling = {.temperature = config_.sample_temperature, .top_k = config_.sample_top_k};
  options.max_new_tokens = config_.sample_tokens;
  options.seed = config_.seed;
  options.step = static_cast<std::uint32_t>(state_.step);
  std::vector<std::int32_t> tokens = parts_.tokenizer.encode(config_.sample_prompt);
  TextGenerator generator(decoder_, 1, parts_.plan.decoder().shape().max_length, options);
  const std::vector<std::int32_t> prompt = tokens;
  generator.run(prompt, [&](std::int64_t, std::int32_t token) {
    tokens.push_back(token);
    return true;
  });
  parts_.console.sample(state_.step, parts_.tokenizer.decode(tokens));
}

void Trainer::save_if_due() {
  if (state_.step > 0 && is_due(state_.step, config_.save_interval)) save(step_checkpoint_name(state_.step));
}

void Trainer::save(const std::string& name) {
  const bool is_step = name != "best";
  if (is_step && last_saved_step_ == state_.step) return;
  CheckpointContents contents;
  contents.model = parts_.plan.model().sizes();
  contents.tokenizer = &parts_.tokenizer;
  contents.parameters = sources("", gpt_.weights());
  contents.optimizer = sources("m.", optimizer_.first_moments());
  auto second = sources("v.", optimizer_.second_moments());
  std::ranges::move(second, std::back_inserter(contents.optimizer));
  contents.state = state_;
  save_checkpoint(parts_.files, parts_.run / name, contents);
  if (!is_step) return;
  last_saved_step_ = state_.step;
  prune_checkpoints(parts_.files, parts_.run, config_.keep_last);
}

StepMetrics Trainer::train_step() {
  const auto start = Clock::now();
  const StepShape& shape = parts_.plan.step();
  const std::int64_t micro_tokens = shape.batch_size * shape.length;
  const std::int64_t step_tokens = micro_tokens * config_.grad_accum_steps;
  std::vector<std::int32_t> inputs(static_cast<std::size_t>(micro_tokens));
  std::vector<std::int32_t> targets(inputs.size());
  double loss_sum = 0;
  gpt_.zero_gradients();
  for (std::int64_t micro = 0; micro < config_.grad_accum_steps; ++micro) {
    const std::int64_t first_sequence = micro * shape.batch_size;
    sampler_.fill(state_.step, first_sequence, inputs, targets);
    gpt_.load_batch(inputs, targets);
    loss_sum += gpt_.accumulate_gradients(1.0F / static_cast<float>(step_tokens),
                                          {config_.seed, static_cast<std::uint32_t>(state_.step), first_sequence});
  }
  StepMetrics metrics;
  metrics.step = state_.step;
  metrics.max_steps = config_.max_iters;
  metrics.loss = loss_sum / static_cast<double>(step_tokens);
  metrics.learning_rate = schedule_.at(state_.step);
  const bool finite_loss = std::isfinite(metrics.loss);
  metrics.grad_norm = finite_loss ? optimizer_.step(state_.step + 1, metrics.learning_rate) : metrics.loss;
  metrics.updated = std::isfinite(metrics.grad_norm);
  if (metrics.updated) {
    bad_steps_ = 0;
  } else {
    report_non_finite(metrics.loss);
  }
  ++state_.step;
  state_.tokens_seen += step_tokens;

  metrics.elapsed_ms = milliseconds_since(start);
  // A running mean forgets slow starts and follows a machine that changes its pace.
  mean_step_ms_ = mean_step_ms_ == 0 ? metrics.elapsed_ms : 0.9 * mean_step_ms_ + 0.1 * metrics.elapsed_ms;
  metrics.tokens = state_.tokens_seen;
  metrics.epoch = static_cast<double>(state_.tokens_seen) / static_cast<double>(parts_.train_data.tokens.size());
  metrics.tokens_per_s = static_cast<double>(step_tokens) / metrics.elapsed_ms * 1000;
  metrics.model_gflops = model_flops_per_token(parts_.plan.model()) * metrics.tokens_per_s / 1e9;
  metrics.remaining_s = static_cast<double>(config_.max_iters - state_.step) * mean_step_ms_ / 1000;
  metrics.memory = memory_use();
  metrics.evaluation = std::exchange(pending_evaluation_, std::nullopt);
  return metrics;
}

void Trainer::report_non_finite(double loss) {
  ++bad_steps_;
  const std::string tensor = find_non_finite_gradient(parts_.backend, parts_.plan, parts_.memory);
  parts_.console.warn(fmt::format(
      "step {}: {} is not finite; the update was not applied ({} in a row, the run stops at {})", state_.step,
      !std::isfinite(loss) ? "the loss" : "the gradient of " + (tensor.empty() ? std::string("all tensors together") : tensor),
      bad_steps_, config_.max_bad_steps));
}

MemoryUse Trainer::memory_use() const {
  const ProcessMemory process = read_process_memory();
  return {.planned_bytes = parts_.plan.total_bytes(),
          .allocated_bytes = parts_.tracker.current().total(),
          .peak_bytes = parts_.tracker.peak_bytes(),
          .by_category = parts_.tracker.current(),
          .process_rss_bytes = process.rss_bytes,
          .process_peak_bytes = process.peak_bytes};
}

std::vector<TensorSource> Trainer::sources(const std::string& prefix, TensorView flat) const {
  std::vector<TensorSource> sources;
  for (const ParameterSpec& spec : parts_.plan.parameters().parameters()) {
    const TensorView stored = flat.slice(spec.offset, spec.stored_shape);
    const auto read = [this, stored](std::span<std::byte> dst, std::int64_t offset_bytes) {
      const std::int64_t element_bytes = size_of(stored.dtype());
      parts_.backend.copy_to_host(
          dst, stored.slice(offset_bytes / element_bytes, {static_cast<std::int64_t>(dst.size()) / element_bytes}));
    };
    sources.push_back({prefix + spec.name, flat.dtype(), spec.stored_shape, read});
  }
  return sources;
}

void Trainer::load(const SafetensorsFile& file, const std::string& prefix, TensorView flat) const {
  for (const ParameterSpec& spec : parts_.plan.parameters().parameters()) {
    const SafetensorsFile::Entry* entry = file.find(prefix + spec.name);
    if (entry == nullptr || entry->dtype_name != "F32" || entry->shape != spec.stored_shape) {
      throw user_error("the checkpoint's {}{} is {}, the config says float32 {}; resume with the model's own sizes", prefix,
                       spec.name, entry == nullptr ? "missing" : entry->dtype_name + " " + entry->shape.to_string(),
                       spec.stored_shape.to_string());
    }
    parts_.backend.copy_from_host(flat.slice(spec.offset, spec.stored_shape), entry->bytes);
  }
}

}  // namespace virgil
