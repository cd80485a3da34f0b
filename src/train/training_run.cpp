#include "virgil/train/training_run.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "virgil/base/error.h"
#include "virgil/train/console_metrics.h"
#include "virgil/train/run_folder.h"

namespace virgil {

namespace {

/// What the run learns from, and how it reads it.
struct RunData {
  std::unique_ptr<Tokenizer> tokenizer;
  TokenData train;
  std::optional<TokenData> val;
};

RunData load_data(const TrainConfig& config, const std::optional<LoadedCheckpoint>& checkpoint, Logger& log) {
  if (config.input.empty()) throw user_error("no text to train on: give one with --input FILE");
  const Text text = read_text(config.input, log);
  TextSplit split{text.bytes, {}};
  Text val_text;
  if (!config.val_input.empty()) {
    val_text = read_text(config.val_input, log);
    split.val = val_text.bytes;
  } else {
    split = split_text(text.bytes, config.val_fraction);
  }
  RunData data;
  data.tokenizer = checkpoint ? load_tokenizer(checkpoint->directory) : make_tokenizer(config.tokenizer, text.bytes);
  data.train = tokenize(*data.tokenizer, split.train);
  if (!split.val.empty()) data.val = tokenize(*data.tokenizer, split.val);
  return data;
}

ModelConfig make_model_config(const TrainConfig& config, const Tokenizer& tokenizer) {
  if (config.vocab_size != 0 && config.vocab_size < tokenizer.vocab_size()) {
    throw user_error("vocab_size is {}, the tokenizer {} has {} tokens: set vocab_size to 0 or to at least {}",
                     config.vocab_size, tokenizer.name(), tokenizer.vocab_size(), tokenizer.vocab_size());
  }
  return ModelConfig({.num_layers = config.n_layer,
                      .num_heads = config.n_head,
                      .embedding_dim = config.n_embd,
                      .block_size = config.block_size,
                      .vocab_size = config.vocab_size != 0 ? config.vocab_size : tokenizer.vocab_size(),
                      .d_ff = config.d_ff,
                      .bias = config.bias,
                      .tie_weights = config.tie_weights,
                      .dropout = static_cast<float>(config.dropout)});
}

PlanRequest make_plan_request(const TrainConfig& config) {
  PlanRequest request;
  request.step = StepShape{.batch_size = config.batch_size,
                           .length = config.block_size,
                           .training = true,
                           .dtype = DType::kFloat32,
                           .recompute = parse_recompute(config.recompute)};
  request.decode = DecodeShape{.num_sequences = 1, .max_length = config.block_size, .dtype = DType::kFloat32};
  return request;
}

/// A checkpoint of another shape is refused key by key.
void check_same_model(const LoadedCheckpoint& checkpoint, const ModelConfig& model) {
  const ModelSizes& saved = checkpoint.model;
  const ModelSizes& asked = model.sizes();
  const auto check = [&](const char* key, std::int64_t saved_value, std::int64_t asked_value) {
    if (saved_value == asked_value) return;
    throw user_error("checkpoint {}: {} is {}, the config says {}; set \"{}\": {}", checkpoint.directory.string(), key,
                     saved_value, asked_value, key, saved_value);
  };
  check("n_layer", saved.num_layers, asked.num_layers);
  check("n_head", saved.num_heads, asked.num_heads);
  check("n_embd", saved.embedding_dim, asked.embedding_dim);
  check("block_size", saved.block_size, asked.block_size);
  check("vocab_size", saved.vocab_size, asked.vocab_size);
  check("d_ff", ModelConfig(saved).d_ff(), model.d_ff());
  check("bias", saved.bias, asked.bias);
  check("tie_weights", saved.tie_weights, asked.tie_weights);
}

void describe_run(const TrainConfig& config, const MemoryPlan& plan, const RunData& data, std::int64_t limit_bytes,
                  Logger& log) {
  const ModelConfig& model = plan.model();
  const std::int64_t parameters = plan.parameters().num_parameters();
  const auto train_tokens = static_cast<std::int64_t>(data.train.tokens.size());
  const std::int64_t run_tokens = checked_multiply(config.max_iters, config.total_batch_size);
  log.info(fmt::format("model    {} layers, {} heads of {}, width {}, context {}, vocabulary {} ({}), {} parameters{}",
                       model.num_layers(), model.num_heads(), model.head_size(), model.embedding_dim(), model.block_size(),
                       model.vocab_size(), data.tokenizer->name(), format_count(parameters),
                       model.tie_weights() ? " (head tied)" : ""));
  log.info(fmt::format("data     {}: {} bytes, {} tokens to train on, {} held out; {:.3f} tokens per parameter", config.input,
                       format_count(data.train.text_bytes + (data.val ? data.val->text_bytes : 0)), format_count(train_tokens),
                       format_count(data.val ? static_cast<std::int64_t>(data.val->tokens.size()) : 0),
                       static_cast<double>(train_tokens) / static_cast<double>(parameters)));
  log.info(fmt::format("run      {} steps of {} tokens ({} x {} x {}) = {:.1f} epochs", format_count(config.max_iters),
                       format_count(config.total_batch_size), config.batch_size, model.block_size(), config.grad_accum_steps,
                       static_cast<double>(run_tokens) / static_cast<double>(train_tokens)));
  std::string categories;
  for (const MemoryCategory category : kAllMemoryCategories) {
    if (plan.by_category()[category] == 0) continue;
    categories +=
        fmt::format("{}{} {}", categories.empty() ? "" : ", ", name_of(category), format_bytes(plan.by_category()[category]));
  }
  log.info(fmt::format("memory   {} planned ({}); {} may be used", format_bytes(plan.total_bytes()), categories,
                       format_bytes(limit_bytes)));
  if (train_tokens < parameters) {
    log.warn(fmt::format(
        "{} training tokens for {} parameters: the model can learn the text by heart; watch the validation loss, or "
        "choose a smaller model or more text",
        format_count(train_tokens), format_count(parameters)));
  }
}

/// Seconds that one step's matrix products need, measured on the model's own MLP shape in the memory the run already holds.
double estimate_step_seconds(const TrainConfig& config, Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory) {
  const ModelConfig& model = plan.model();
  const std::int64_t rows = config.batch_size * config.block_size;
  const auto view = [&](Activation kind) {
    const ActivationSpec& spec = plan.activations().find(kind, 0, Pass::kForward);
    return memory.view(PlanSlot::kActivations, spec.offset_bytes, spec.dtype, spec.shape);
  };
  const ParameterViews parameters(model, plan.parameters(),
                                  memory.view(PlanSlot::kWeights, 0, DType::kFloat32, {plan.parameters().flat_elements()}));
  backend.bind_workspace(memory.bytes(PlanSlot::kWorkspace));
  backend.set_zero(view(Activation::kNorm2));
  double best_seconds = 0;
  for (int repetition = 0; repetition < 3; ++repetition) {
    const auto start = std::chrono::steady_clock::now();
    backend.matmul(view(Activation::kMlpHidden), view(Activation::kNorm2), parameters.blocks.front().fc_weight,
                   parameters.blocks.front().fc_bias, {});
    backend.synchronize();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best_seconds = repetition == 0 ? seconds : std::min(best_seconds, seconds);
  }
  const double flops_per_second = 2.0 * static_cast<double>(rows) * static_cast<double>(model.embedding_dim()) *
                                  static_cast<double>(model.d_ff()) / best_seconds;
  // Of a step's time about three quarters go into matrix products on the presets; docs/performance.md has the shares.
  constexpr double kMatmulShare = 0.75;
  return model_flops_per_token(model) * static_cast<double>(config.total_batch_size) / flops_per_second / kMatmulShare;
}

}  // namespace

std::unique_ptr<Backend> make_backend(const TrainConfig& config) {
  if (config.device.starts_with("cuda")) {
    throw user_error("device is \"{}\": this build has no CUDA backend; use --device cpu", config.device);
  }
  if (config.dtype != "auto" && config.dtype != "float32") {
    throw user_error("dtype is \"{}\": the CPU backend computes in float32; use --dtype float32 or auto", config.dtype);
  }
  return make_cpu_backend({.num_threads = static_cast<int>(config.threads)});
}

std::int64_t memory_limit_bytes(const TrainConfig& config, const Backend& backend) {
  return config.max_memory.empty() ? backend.available_bytes() : parse_memory_size(config.max_memory);
}

void check_plan_fits(const MemoryPlan& plan, std::int64_t limit_bytes) {
  if (plan.total_bytes() <= limit_bytes) return;
  std::string message =
      fmt::format("the plan needs {} and {} may be used:\n", format_bytes(plan.total_bytes()), format_bytes(limit_bytes));
  for (const PlanItem& item : plan.items()) {
    message += fmt::format("  {:<15} {:<18} {:>12}\n", name_of(item.category), item.name, format_bytes(item.size_bytes));
  }
  const StepShape& step = plan.step();
  message += "to mend it: ";
  if (step.batch_size > 1) {
    message += fmt::format("--batch_size {} with --grad_accum_steps twice as large (the same training); ", step.batch_size / 2);
  }
  if (step.recompute < Recompute::kBlock) message += "--recompute block (less activation memory, about a third more time); ";
  message += "a smaller block_size or model; or raise --max_memory if it was set too low";
  throw OutOfMemoryError(message);
}

RunStatus run_training(const CommandLine& command_line, FileSystem& files, MetricsSink& console,
                       const std::function<bool()>& stop_requested) {
  const TrainConfig given = command_line.config.resume ? load_run_config(command_line) : command_line.config;
  TrainConfig config = given;
  resolve_config(config);
  check_run_folder(config);
  const std::filesystem::path run = run_folder(config);
  std::optional<LoadedCheckpoint> checkpoint;
  if (config.resume) checkpoint = load_newest_checkpoint(run);

  const std::unique_ptr<Backend> backend = make_backend(config);
  const RunData data = load_data(config, checkpoint, console);
  const ModelConfig model = make_model_config(config, *data.tokenizer);
  if (checkpoint) check_same_model(*checkpoint, model);
  // Windows must fit before anything large is allocated.
  static_cast<void>(BatchSampler(data.train.tokens, config.block_size, config.seed));

  const MemoryPlan plan(model, make_plan_request(config), backend->traits());
  const std::int64_t limit_bytes = memory_limit_bytes(config, *backend);
  console.info(fmt::format("device   {}", backend->description()));
  describe_run(config, plan, data, limit_bytes, console);
  for (const std::string& line : describe_changes(config)) console.info("config   " + line);
  check_plan_fits(plan, limit_bytes);

  TrackingResource tracker(backend->memory());
  const PlannedMemory memory(plan, tracker);
  const double step_seconds = estimate_step_seconds(config, *backend, plan, memory);
  const std::int64_t first_step = checkpoint ? checkpoint->state.step : 0;
  console.info(fmt::format("time     about {} (by a timed matrix product; evaluations and samples come on top)",
                           format_duration(step_seconds * static_cast<double>(config.max_iters - first_step))));
  if (config.dry_run) {
    console.info("dry run: stopping before step 0; nothing was written");
    return RunStatus::kFinished;
  }

  prepare_run_folder(files, given);
  truncate_metrics(files, metrics_path(run), first_step);
  JsonlMetrics jsonl(files.open_for_append(metrics_path(run)));
  Trainer trainer({config, *backend, tracker, plan, memory, *data.tokenizer, data.train, data.val ? &*data.val : nullptr, files,
                   run, console, jsonl, stop_requested});
  if (checkpoint) {
    trainer.restore(*checkpoint);
    console.info(fmt::format("resumed  {} at step {}", checkpoint->directory.string(), first_step));
    checkpoint.reset();  // unmaps its files
  } else {
    trainer.initialize();
  }
  const RunStatus status = trainer.run();
  const std::int64_t step = trainer.state().step;
  const std::string newest = (run / step_checkpoint_name(step)).string();
  if (status == RunStatus::kInterrupted) {
    console.info(fmt::format("stopped at step {}; go on with --resume. Checkpoint: {}", step, newest));
  } else if (status == RunStatus::kDiverged) {
    console.warn(
        fmt::format("stopped at step {}: {} steps in a row were not finite. The last good checkpoint stands in {}; lower "
                    "learning_rate and go on with --resume",
                    step, config.max_bad_steps, run.string()));
  } else {
    console.info(fmt::format("finished at step {}. Checkpoint: {}{}", step, newest,
                             trainer.state().best_step > 0
                                 ? fmt::format("; best (validation loss {:.4f} at step {}): {}", trainer.state().best_val_loss,
                                               trainer.state().best_step, (run / "best").string())
                                 : ""));
  }
  return status;
}

}  // namespace virgil
