#include "virgil/train/training_run.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "train/init_from.h"
#include "train/run_data.h"
#include "train/run_summary.h"
#include "train/shell_quote.h"
#include "virgil/base/directory_lock.h"
#include "virgil/base/error.h"
#include "virgil/train/console_metrics.h"
#include "virgil/train/device.h"
#include "virgil/train/memory_summary.h"
#include "virgil/train/plan_config.h"
#include "virgil/train/run_folder.h"

namespace virgil {

namespace {

/// The command that goes on with a run.
std::string resume_command(const TrainConfig& config) {
  return fmt::format("train --resume --out_dir {} --model_name {}", shell_quote(config.out_dir),
                     shell_quote(config.model_name));
}

/// What a plan may take.
struct MemoryBound {
  std::int64_t limit_bytes = 0;
  std::int64_t aim_bytes = 0;  // for what is chosen freely: leaves room for code and libraries on the machine
  std::string source;
};

/// max_memory bounds the plan, and so does what the machine has free.
MemoryBound memory_bound(const TrainConfig& config, const Backend& backend) {
  const std::int64_t free_bytes = backend.available_bytes();
  MemoryBound bound{free_bytes, free_bytes - headroom_bytes(free_bytes), std::string(name_of_free_memory(backend))};
  if (config.max_memory.empty()) return bound;
  const std::int64_t most_bytes = parse_memory_size(config.max_memory);
  bound.aim_bytes = std::min(bound.aim_bytes, most_bytes);
  bound.source = most_bytes <= free_bytes ? fmt::format("max_memory is {}", config.max_memory)
                                          : fmt::format("{}; max_memory is {}", bound.source, config.max_memory);
  bound.limit_bytes = std::min(free_bytes, most_bytes);
  return bound;
}

/// What one invocation works on. Built in an order that writes nothing until all of it has been checked.
class TrainingRun {
 public:
  TrainingRun(const CommandLine& command_line, FileSystem& files, MetricsSink& console)
      : command_line_(command_line),
        given_(command_line.config.resume ? load_run_config(command_line) : command_line.config),
        config_(given_),
        files_(files),
        console_(console) {
    if (!config_.init_from.empty() && !config_.resume) {
      check_run_folder(config_);  // before the work of reading a model
      start_ = open_init_from(command_line, given_, console_);
      config_ = given_;
    }
    resolve_config(config_);
    check_run_folder(config_);
    run_ = run_folder(config_);
    if (!config_.dry_run && std::filesystem::exists(run_)) lock_.emplace(run_);
    if (config_.resume) checkpoint_ = load_newest_checkpoint(run_);
    if (config_.resume && !command_line.config_file.empty()) {
      console_.info(fmt::format("config   a run that goes on keeps its own ({}); {} only names it",
                                run_config_path(run_).string(), command_line.config_file));
    }
    if (config_.resume && !command_line.config.init_from.empty() && command_line.config.init_from != config_.init_from) {
      console_.info(
          fmt::format("config   a run that goes on has its own weights; {} is not read", command_line.config.init_from));
    }
  }

  RunStatus run(const std::function<bool()>& stop_requested) {
    if (checkpoint_ && checkpoint_->state.step >= config_.max_iters) {
      if (lock_) prune_checkpoints(files_, run_, config_.keep_last);  // what a kill at the very end left to do
      console_.info(fmt::format("{} is finished: it stands at step {}, and max_iters is {}; to go further: {} --max_iters {}",
                                run_.string(), checkpoint_->state.step, config_.max_iters, resume_command(config_),
                                2 * checkpoint_->state.step));
      return RunStatus::kFinished;
    }
    const std::unique_ptr<Backend> backend = make_backend(device_request(config_), console_);
    resolve_dtype(config_, *backend);
    const Dataset data = load_run_data(config_, checkpoint_ ? &*checkpoint_ : nullptr, files_, console_);
    const MemoryPlan plan = make_plan(data, *backend);
    const ProcessMemory before = read_process_memory();
    TrackingResource tracker(backend->memory());
    const PlannedMemory memory = allocate(plan, tracker, backend->traits());
    const double matmul_gflops = time_matmul(*backend, plan, memory);
    JsonlMetrics jsonl;
    Trainer trainer({config_, *backend, tracker, plan, memory, *data.tokenizer, data.train, data.val ? &*data.val : nullptr,
                     files_, run_, console_, jsonl, stop_requested, matmul_gflops, before.rss_bytes});
    prepare(trainer);
    const std::int64_t first_step = trainer.state().step;
    console_.info(
        fmt::format("time     about {} (by a timed matrix product; evaluations and samples come on top)",
                    format_duration(estimate_seconds(config_, plan.model(), matmul_gflops, config_.max_iters - first_step))));
    if (config_.dry_run) {
      console_.info(
          fmt::format("dry run: stopping before step 0; nothing was written{}", data.cached ? " but the token cache" : ""));
      return RunStatus::kFinished;
    }
    open_run_folder(jsonl, first_step);
    const RunStatus status = trainer.run();
    const MemoryComparison comparison = compare_memory(plan, tracker, before, backend->device_memory());
    for (const std::string& line : describe_memory(comparison)) console_.info(line);
    report_end(status, trainer.state());
    return status;
  }

 private:
  MemoryPlan make_plan(const Dataset& data, Backend& backend) {
    const ModelConfig model = make_model_config(config_, *data.tokenizer);
    if (checkpoint_) check_same_model(*checkpoint_, model);
    // Windows must fit before anything large is allocated.
    static_cast<void>(BatchSampler(data.train.tokens, config_.block_size, config_.seed));
    const MemoryBound bound = memory_bound(config_, backend);
    choose_batch_size(config_, model.sizes(), bound.aim_bytes, backend.traits());
    // A run that goes on elsewhere keeps what was chosen here.
    given_.dtype = config_.dtype;
    given_.batch_size = config_.batch_size;
    const TrainingShape shape = training_shape(config_, model.sizes());
    MemoryPlan plan = plan_training(shape, backend.traits());
    console_.info(fmt::format("device   {}", describe_device(backend)));
    const auto dtypes = backend.dtypes();
    if (std::ranges::find(dtypes, shape.dtype) > std::ranges::find(dtypes, DType::kFloat32)) {
      console_.warn(
          fmt::format("the device has no instructions for {} products: they are computed in float32, and a step takes "
                      "longer than with --dtype float32",
                      name_of(shape.dtype)));
    }
    describe_run(config_, plan, data, bound.limit_bytes, console_);
    if (plan.total_bytes() > bound.limit_bytes) {
      check_plan_fits(
          plan, bound.limit_bytes, bound.source,
          fmt::format("\n{}", describe_remedies(shape, bound.limit_bytes, bound.aim_bytes, backend.traits(), command_line_)));
    }
    return plan;
  }

  /// All of the plan, which fits by the device's own account. Where memory is refused all the same (another program was faster,
  /// or it is in pieces), the error says what would make the plan smaller.
  PlannedMemory allocate(const MemoryPlan& plan, TrackingResource& tracker, const BackendTraits& traits) {
    try {
      return {plan, tracker};
    } catch (const OutOfMemoryError& error) {
      const std::int64_t limit_bytes = plan.total_bytes() - headroom_bytes(plan.total_bytes());
      const TrainingShape shape = training_shape(config_, plan.model().sizes());
      throw OutOfMemoryError(
          fmt::format("{}the plan of {} fitted into what was free when it was made; close other programs that use the device, "
                      "or make it smaller:\n{}",
                      error.what(), format_bytes(plan.total_bytes()),
                      describe_remedies(shape, limit_bytes, limit_bytes, traits, command_line_)));
    }
  }

  /// Weights and optimizer as they are before the first step of this invocation.
  void prepare(Trainer& trainer) {
    if (start_) {
      trainer.initialize(*start_);
      start_.reset();  // unmaps its files
      return;
    }
    if (!checkpoint_) {
      trainer.initialize();
      return;
    }
    trainer.restore(*checkpoint_);
    console_.info(fmt::format("resumed  {} at step {}", checkpoint_->directory.string(), trainer.state().step));
    checkpoint_.reset();  // unmaps its files
  }

  /// The first writes of the run.
  void open_run_folder(JsonlMetrics& jsonl, std::int64_t first_step) {
    if (!lock_) {
      files_.create_directories(run_);
      lock_.emplace(run_);
      check_run_folder(config_);  // somebody else may have been faster
    }
    prepare_run_folder(files_, given_);
    truncate_metrics(files_, metrics_path(run_), first_step);
    jsonl.open(files_.open_for_append(metrics_path(run_)));
  }

  void report_end(RunStatus status, const TrainingState& state) {
    const auto checkpoints = list_step_checkpoints(run_);
    const std::string newest = checkpoints.empty() ? "none" : checkpoints.back().string();
    if (status == RunStatus::kInterrupted) {
      console_.info(
          fmt::format("stopped at step {}. Checkpoint: {}. Go on with: {}", state.step, newest, resume_command(config_)));
    } else if (status == RunStatus::kDiverged) {
      console_.warn(fmt::format(
          "stopped at step {}: {} steps in a row were not finite. {}", state.step, config_.max_bad_steps,
          checkpoints.empty()
              ? "There is no checkpoint yet: start again with --overwrite and a lower learning_rate"
              : fmt::format(
                    "The last good checkpoint stands: {}. Go on from it with: {} --learning_rate {:.3g} --min_lr {:.3g}",
                    newest, resume_command(config_), config_.learning_rate / 2, config_.min_lr / 2)));
    } else {
      console_.info(fmt::format("finished at step {}. Checkpoint: {}", state.step, newest));
      if (state.best_step > 0) {
        console_.info(fmt::format("best validation loss {:.4f} at step {}: {}", state.best_val_loss, state.best_step,
                                  (run_ / "best").string()));
      }
    }
  }

  const CommandLine& command_line_;
  TrainConfig given_;   // as a later --resume shall find it
  TrainConfig config_;  // resolved
  FileSystem& files_;
  MetricsSink& console_;
  std::filesystem::path run_;
  std::optional<DirectoryLock> lock_;
  std::optional<LoadedCheckpoint> checkpoint_;  // what a resumed run goes on from
  std::optional<PretrainedModel> start_;        // what a new run starts from, where it does not start from random weights
};

}  // namespace

void check_plan_fits(const MemoryPlan& plan, std::int64_t limit_bytes, std::string_view limit_source, std::string_view remedy) {
  if (plan.total_bytes() <= limit_bytes) return;
  std::string message = fmt::format("the plan needs {} of memory, and {} may be used ({}):\n", format_bytes(plan.total_bytes()),
                                    format_bytes(limit_bytes), limit_source);
  for (const PlanItem& item : plan.items()) {
    message += fmt::format("  {:<15} {:<18} {:>12}\n", name_of(item.category), item.name, format_bytes(item.size_bytes));
  }
  throw OutOfMemoryError(message + fmt::format("to mend it: {}", remedy));
}

RunStatus run_training(const CommandLine& command_line, FileSystem& files, MetricsSink& console,
                       const std::function<bool()>& stop_requested) {
  return TrainingRun(command_line, files, console).run(stop_requested);
}

}  // namespace virgil
