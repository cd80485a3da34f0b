#include "virgil/train/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "train/init_from.h"
#include "train/processes.h"
#include "train/resumed_schedule.h"
#include "train/run_data.h"
#include "train/run_end.h"
#include "train/run_forecast.h"
#include "train/run_length.h"
#include "train/run_summary.h"
#include "virgil/backend/cuda_backend.h"
#include "virgil/base/directory_lock.h"
#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/base/paths.h"
#include "virgil/base/progress.h"
#include "virgil/base/provisional_folder.h"
#include "virgil/config/config_text.h"
#include "virgil/config/program_name.h"
#include "virgil/dist/agreement.h"
#include "virgil/machine/device.h"
#include "virgil/machine/measured_dtype.h"
#include "virgil/plan/plan_config.h"
#include "virgil/plan/run_plan.h"
#include "virgil/train/early_end.h"
#include "virgil/train/memory_summary.h"
#include "virgil/train/run_folder.h"
#include "virgil/train/run_record.h"

namespace virgil {

namespace {

/// What one invocation works on. Built in an order that writes nothing until all of it has been checked.
class TrainingRun {
 public:
  TrainingRun(const CommandLine& command_line, FileSystem& files, MetricsSink& console, ProgressMonitor& progress,
              ProcessGroup& group)
      : command_line_(command_line),
        files_(files),
        console_(console),
        progress_(progress),
        group_(group),
        started_{command_line.program_folder, group.size()},
        train_command_(train_command(command_line.program_folder, group.size())) {
    in_agreement(group_, [&] { configure(); });
    check_same_on_all(group_, "the program", program_fingerprint(),
                      "start the same build on every machine, of one version of Virgil");
    check_same_config();
  }
  ~TrainingRun() { progress_.on_abandon({}); }
  TrainingRun(const TrainingRun&) = delete;
  TrainingRun& operator=(const TrainingRun&) = delete;

 private:
  void configure() {
    given_ = command_line_.config.resume ? load_run_config(command_line_, group_.size()) : command_line_.config;
    config_ = given_;
    if (!config_.init_from.empty() && !config_.resume) {
      check_run_folder(config_);  // before the work of reading a model
      start_ = open_init_from(command_line_, given_, console_);
      config_ = given_;
    }
    const std::int64_t batch_size = config_.batch_size;
    resolve_config(config_, group_.size());
    if (config_.batch_size != batch_size) {
      console_.info(fmt::format("config   batch_size is {} instead of {}: it divides each process's share of total_batch_size",
                                config_.batch_size, batch_size));
    }
    if (group_.size() > 1 && config_.batch_size != 0) {
      // A run resumed in another number of processes keeps the tokens of its steps.
      given_.total_batch_size = config_.total_batch_size;
      given_.grad_accum_steps = 1;
    }
    check_run_folder(config_);
    run_ = run_folder(config_);
    if (!config_.dry_run && group_.is_root() && path_exists(run_)) lock_.emplace(run_);
    if (config_.resume) {
      checkpoint_ = load_newest_checkpoint(run_, init_from_command(train_command_, run_ / kBestCheckpoint, config_));
      const std::string changes = describe_config_changes(run_, *checkpoint_, command_line_);
      if (!changes.empty()) console_.warn(changes);
    }
    if (config_.resume && !command_line_.config_file.empty()) {
      console_.info(fmt::format("config   a resumed run keeps its own ({}); {} only names it", run_config_path(run_).string(),
                                command_line_.config_file));
    }
    if (config_.resume && !command_line_.config.init_from.empty() && command_line_.config.init_from != config_.init_from) {
      console_.info(fmt::format("config   a resumed run has its own weights; {} is not read", command_line_.config.init_from));
    }
  }

  /// Key by key, so that the error can name what differs.
  void check_same_config() {
    const std::string remedy = "give every process the same command and the same files";
    for (const ConfigKey& key : config_keys()) {
      check_same_on_all(group_, fmt::format("the key {}", key.name), value_text(config_, key), remedy);
    }
    const auto step = [](const auto& checkpoint) { return checkpoint ? std::to_string(checkpoint->state.step) : "none"; };
    check_same_on_all(group_, "the step of the newest checkpoint", step(checkpoint_),
                      "put out_dir where all machines see it, or copy the run to each");
  }

 public:
  RunStatus run() {
    // With epochs, only the data tells.
    if (config_.epochs == 0 && told_finished()) return RunStatus::kFinished;
    DeviceRequest request = device_request(config_);
    const CpuShare share = cpu_share(group_);
    if (request.threads == 0) request.threads = share.threads;
    if (!share.warning.empty()) console_.warn(share.warning);
    request.gpu = device_of_process(group_, cuda_device_count());
    std::unique_ptr<Backend> backend;
    in_agreement(group_, [&] {
      backend = make_backend(request, console_);
      machine_ = machine_of(*backend, group_.size(), group_.local_size());
      if (config_.dtype == "auto") prefer_faster_dtype(machine_, *backend);
    });
    if (config_.dtype == "auto") agree_on_dtype(machine_, group_);
    in_agreement(group_, [&] { choose_dtype(); });
    check_same_on_all(group_, "the type that dtype auto stands for", config_.dtype, "give --dtype");
    if (config_.master_weights != given_.master_weights) {
      console_.info("config   master_weights false has no effect: dtype auto is float32 here, whose weights have no copy");
    }
    const std::unique_ptr<Communicator> communicator = make_communicator(*backend, group_);
    const Dataset data = load_data();
    check_same_on_all(group_, "the training text", data.train.fingerprint, "give every process the same input");
    check_early_end(config_, data.val.has_value());
    check_same_on_all(group_, "the held-out text", data.val ? data.val->fingerprint : "none",
                      "give every process the same input and val_input");
    machine_.communicator = communicator->kind();
    machine_.free_bytes = free_bytes_of(*backend, group_.local_size());  // the text has taken some
    budget_ = memory_budget(config_, machine_);
    budget_.aim_bytes = least_on_all(budget_.aim_bytes);
    std::optional<MemoryPlan> planned;
    in_agreement(group_, [&] { planned.emplace(make_plan(data, *backend, *communicator)); });
    if (config_.epochs != 0 && told_finished()) return RunStatus::kFinished;
    const MemoryPlan& plan = *planned;
    check_same_on_all(group_, "the plan's size in bytes", std::to_string(plan.total_bytes()),
                      "use machines whose processors are of one kind");
    const ProcessMemory before = read_process_memory();
    TrackingResource tracker(backend->memory());
    std::optional<PlannedMemory> allocated;
    in_agreement(group_, [&] { allocated.emplace(allocate(plan, tracker, backend->traits())); });
    const PlannedMemory& memory = *allocated;
    const double matmul_gflops = time_matmul(*backend, plan, memory) * group_.size();
    const double step_s = estimate_seconds(config_, plan.model(), matmul_gflops, 1);
    const TimeSource time_source = choose_time_source(step_s / static_cast<double>(config_.grad_accum_steps), config_.dry_run);
    RunRecord record;
    RunSession session = describe_session(data, plan, *backend, before);
    Trainer trainer({config_, *backend, tracker, plan, memory, *data.tokenizer, data.train, data.val ? &*data.val : nullptr,
                     files_, run_, console_, record, progress_, matmul_gflops, Ranks{&group_, communicator.get()},
                     [&] { begin_writing(record, session); }, time_source == TimeSource::kFirstSteps, train_command_, step_s});
    in_agreement(group_, [&] { prepare(trainer); });
    session.first_step = trainer.state().step;
    session.peak_gflops = matmul_gflops;
    in_agreement(group_, [&] { tell_forecast(trainer, plan, data, step_s, time_source); });
    if (config_.dry_run) {
      console_.info(
          fmt::format("dry run: stopping before step 0; nothing was written{}", data.cached ? " but the token cache" : ""));
      return RunStatus::kFinished;
    }
    in_agreement(group_, [&] {
      if (progress_.stop_requested()) throw Stopped();
      if (group_.is_root()) claim_run_folder();
    });
    const RunStatus status = trainer.run();
    if (status == RunStatus::kInterrupted && trainer.state().step == 0) throw Stopped();
    if (group_.is_root()) {
      const MemoryComparison comparison = compare_memory(plan, tracker, before, backend->device_memory());
      report_end({status, trainer.state(), trainer.tally(), matmul_gflops, comparison, prompt_for(config_, data)}, config_,
                 started_, console_);
    }
    return status;
  }

 private:
  void choose_dtype() {
    if (config_.dtype == "auto" && !machine_.dtype_note.empty()) {
      console_.info(fmt::format("config   dtype auto is {}: {}", name_of(machine_.dtypes.front()), machine_.dtype_note));
    }
    resolve_dtype(config_, machine_);
  }

  /// Whether the run has reached its end already, which it then says.
  bool told_finished() {
    if (!checkpoint_ || !is_finished(config_, checkpoint_->state)) return false;
    if (lock_) prune_checkpoints(files_, run_, config_.keep_last);  // what a kill at the very end left to do
    const std::int64_t step = checkpoint_->state.step;
    if (step < config_.max_iters) {
      const EarlyEnd end = early_end_of(config_, checkpoint_->state);
      console_.info(fmt::format("{} is finished: it is at step {}, and {}; to train further: {} {}", run_.string(), step,
                                describe_early_end(end, config_), resume_command(config_, started_), flag_to_go_on(end)));
      return true;
    }
    const std::string rate = describe_further_rate(planned_config(config_, *checkpoint_), step, 2 * step);
    console_.info(fmt::format("{} is finished: it is at step {}, and max_iters is {}; to train further: {} --max_iters {}{}",
                              run_.string(), step, config_.max_iters, resume_command(config_, started_), 2 * step,
                              rate.empty() ? "" : fmt::format(" ({})", rate)));
    return true;
  }

  /// Rank 0 first: the others then find the tokens that it may keep in the cache.
  Dataset load_data() {
    std::optional<Dataset> data;
    const auto load = [&] {
      if (checkpoint_) check_inputs_of_resumed(config_, resume_command(config_, started_));
      data.emplace(load_run_data(config_, checkpoint_ ? &*checkpoint_ : nullptr, files_, console_, &progress_));
    };
    for (const bool root_turn : {true, false}) {
      in_agreement(group_, [&] {
        if (group_.is_root() == root_turn) load();
      });
    }
    return std::move(*data);
  }

  /// The least that any rank may use, so that all choose the same batch.
  std::int64_t least_on_all(std::int64_t bytes) {
    std::vector<std::int64_t> all(static_cast<std::size_t>(group_.size()));
    group_.all_gather(std::as_writable_bytes(std::span(all)), std::as_bytes(std::span(&bytes, 1)));
    return std::ranges::min(all);
  }

  MemoryPlan make_plan(const Dataset& data, Backend& backend, const Communicator& communicator) {
    const Architecture model = make_model_config(config_, *data.tokenizer);
    if (checkpoint_) check_same_model(*checkpoint_, model, command_line_.set_keys);
    // Windows must fit before anything large is allocated.
    const BatchSampler windows(data.train.tokens, config_.block_size, config_.seed);
    RunPlan planned = plan_run(config_, model, machine_, budget_);
    config_ = planned.config;
    settle_length({config_, given_, command_line_, checkpoint_ ? &*checkpoint_ : nullptr}, data, windows, console_);
    // A run resumed elsewhere keeps what was chosen here.
    given_.dtype = config_.dtype;
    given_.master_weights = config_.master_weights;
    given_.batch_size = config_.batch_size;
    if (group_.size() > 1) given_.total_batch_size = config_.total_batch_size;
    shape_ = planned.shape;
    const TrainingShape& shape = shape_;
    MemoryPlan plan = std::move(planned.memory);
    console_.info(fmt::format("device   {}", describe_device(backend)));
    if (group_.size() > 1) console_.info(describe_processes(config_, group_, communicator, shape));
    const auto dtypes = backend.dtypes();
    if (std::ranges::find(dtypes, shape.dtype) > std::ranges::find(dtypes, DType::kFloat32)) {
      console_.warn(
          fmt::format("the device has no instructions for {} products: they are computed in float32, and a step takes "
                      "longer than with --dtype float32",
                      name_of(shape.dtype)));
    }
    describe_run(config_, plan, data, budget_.limit_bytes, console_);
    if (plan.total_bytes() > budget_.limit_bytes) {
      check_plan_fits(plan, budget_.limit_bytes, budget_.source,
                      fmt::format("\n{}", describe_remedies(shape, budget_.limit_bytes, budget_.aim_bytes, backend.traits(),
                                                            command_line_)));
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
      throw OutOfMemoryError(
          fmt::format("{}the plan of {} fitted into what was free when it was made; close other programs that use the device, "
                      "or make it smaller:\n{}",
                      error.what(), format_bytes(plan.total_bytes()),
                      describe_remedies(shape_, limit_bytes, limit_bytes, traits, command_line_)));
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

  /// What run.json keeps of this start. The first step and the peak are not known yet.
  RunSession describe_session(const Dataset& data, const MemoryPlan& plan, const Backend& backend,
                              const ProcessMemory& before) {
    RunSession session = begin_session("train");
    session.device = describe_device(backend);
    session.processes = group_.size();
    session.parameters = plan.parameters().num_parameters();
    session.vocab_size = plan.model().vocab_size;
    session.train_tokens = std::ssize(data.train.tokens);
    session.val_tokens = data.val ? std::ssize(data.val->tokens) : 0;
    session.planned_by_category = plan.by_category();
    session.process_before_bytes = before.rss_bytes;
    return session;
  }

  /// What the run will evaluate on, and take of disk and time.
  void tell_forecast(Trainer& trainer, const MemoryPlan& plan, const Dataset& data, double step_s, TimeSource time_source) {
    const std::int64_t first_step = trainer.state().step;
    const bool evaluates = trainer.evaluator() != nullptr && config_.eval_interval > 0;
    if (evaluates) describe_evaluations(config_, *trainer.evaluator(), data, console_);
    if (group_.is_root()) {
      const std::int64_t bytes = checkpoint_bytes(plan, *data.tokenizer);
      describe_disk(config_, forecast_disk(config_, first_step, evaluates, bytes, run_, files_), run_, console_);
    }
    console_.info(forecast_time(config_, first_step, step_s, time_source, trainer));
  }

  /// Makes the run's folder and locks it; what an earlier run left there stays for now.
  void claim_run_folder() {
    if (lock_) return;
    new_folder_.emplace(files_, run_);
    progress_.on_abandon([this] { new_folder_->remove_what_is_empty(); });
    lock_.emplace(run_);
    check_run_folder(config_);  // somebody else may have been faster
  }

  /// Only now, when the first step of a new run is done, an earlier one is overwritten.
  void begin_writing(RunRecord& record, const RunSession& session) {
    in_agreement(group_, [&] {
      if (group_.is_root()) open_run_folder(record, session);
    });
  }

  /// The first writes of the run.
  void open_run_folder(RunRecord& record, const RunSession& session) {
    prepare_run_folder(files_, given_);
    for (const std::string& problem : record.open(files_, run_, session, config_)) console_.warn(problem);
  }

  const CommandLine& command_line_;
  TrainConfig given_;    // as a later --resume shall find it
  TrainConfig config_;   // resolved
  TrainingShape shape_;  // of the plan
  Machine machine_;
  MemoryBudget budget_;
  FileSystem& files_;
  MetricsSink& console_;
  ProgressMonitor& progress_;
  ProcessGroup& group_;
  const StartedAs started_;
  const std::string train_command_;
  std::filesystem::path run_;
  std::optional<DirectoryLock> lock_;
  std::optional<ProvisionalFolder> new_folder_;  // goes with the run where nothing is written into it
  std::optional<LoadedCheckpoint> checkpoint_;   // what the run resumes from
  std::optional<PretrainedModel> start_;         // what a new run starts from, where it does not start from random weights
};

}  // namespace

RunStatus run_training(const CommandLine& command_line, FileSystem& files, MetricsSink& console, ProgressMonitor& progress,
                       ProcessGroup& group) {
  const bool goes_on = command_line.config.resume;
  progress.foresee_stop("at once", goes_on ? "the run stays as it is" : "no step has been made, so there is nothing to keep",
                        group.size() == 1);
  try {
    return TrainingRun(command_line, files, console, progress, group).run();
  } catch (const Stopped&) {
    console.info(goes_on ? "stopped before a new step: the run stays as it is"
                         : "stopped before the first step was done: no run was begun, and none was overwritten");
    return RunStatus::kInterrupted;
  }
}

RunStatus run_training(const CommandLine& command_line, FileSystem& files, MetricsSink& console,
                       const std::function<bool()>& stop_requested, ProcessGroup& group) {
  StopWhen progress(stop_requested);
  return run_training(command_line, files, console, progress, group);
}

RunStatus run_training(const CommandLine& command_line, FileSystem& files, MetricsSink& console,
                       const std::function<bool()>& stop_requested) {
  const std::unique_ptr<ProcessGroup> alone = make_single_process_group();
  return run_training(command_line, files, console, stop_requested, *alone);
}

}  // namespace virgil
