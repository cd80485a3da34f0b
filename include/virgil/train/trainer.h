// The training loop over one plan.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "virgil/base/progress.h"
#include "virgil/config/train_config.h"
#include "virgil/data/batch_sampler.h"
#include "virgil/data/data_watch.h"
#include "virgil/data/dataset.h"
#include "virgil/format/checkpoint.h"
#include "virgil/format/pretrained_model.h"
#include "virgil/memory/tracking_resource.h"
#include "virgil/model/gpt.h"
#include "virgil/model/gpt_decoder.h"
#include "virgil/optim/loss_scaler.h"
#include "virgil/optim/lr_schedule.h"
#include "virgil/optim/optimizer.h"
#include "virgil/train/evaluator.h"
#include "virgil/train/metrics.h"
#include "virgil/train/ranks.h"
#include "virgil/train/run_record.h"
#include "virgil/train/run_tally.h"
#include "virgil/train/run_time.h"

namespace virgil {

/// How many tokens eval_iters "auto" evaluates on, of a text that has more: a tenth of what is trained on between two
/// evaluations, so that they take some percent of the time, but from 65,536 (a small text is evaluated whole) to 524,288.
/// Expects a resolved config.
[[nodiscard]] std::int64_t auto_eval_tokens(const TrainConfig& config);

/// How a run ended.
enum class RunStatus : std::uint8_t { kFinished, kInterrupted, kDiverged };

/// What a trainer works with. Everything outlives it.
struct TrainerParts {
  const TrainConfig& config;  // resolved
  Backend& backend;
  const TrackingResource& tracker;
  const MemoryPlan& plan;
  const PlannedMemory& memory;
  const Tokenizer& tokenizer;
  const TokenData& train_data;
  const TokenData* val_data;  // null: no evaluation
  FileSystem& files;
  std::filesystem::path run;
  MetricsSink& console;
  RunRecord& record;
  ProgressMonitor& progress;  // is asked for a stop between micro-steps, and inside evaluations and samples
  double matmul_gflops = 0;   // rate that StepMetrics::mfu is measured against; 0: unknown
  Ranks ranks = {};           // every rank runs a trainer with equal parts; only rank 0 writes files
  /// Called once before the first write, which comes after the first step: makes the folder and opens `record`. Null: they are.
  std::function<void()> begin_writing = nullptr;
  bool tells_time = false;              // after a few steps, how long the run will take
  std::string train_command = "train";  // program_name.h, for the commands in messages
  double expected_step_s = 0;           // that a step may take, until one is timed; 0: unknown
};

class GradientExchange;
class PartGathering;

/// Steps are numbered by the updates done before them. At the top of step k come, where due: evaluation, sample, checkpoint
/// "step-k"; then the step itself: loss of the current weights, gradients, update. What happens at step k depends on nothing
/// but the weights, the optimizer state and k, so a run resumed at k repeats the bits.
class Trainer {
 public:
  /// Writes nothing. Throws UserError when the training text is shorter than a window, the held-out text than two tokens, or
  /// sample_prompt is empty for a tokenizer that has no token to begin with.
  explicit Trainer(const TrainerParts& parts);
  ~Trainer();

  /// A new run: weights from the seed, optimizer states zero.
  void initialize();
  /// A new run from given weights of the same model, optimizer states zero.
  void initialize(const PretrainedModel& weights);
  /// Goes on from a checkpoint of the same model; writes nothing. Throws UserError when the shapes or the data differ.
  void restore(const LoadedCheckpoint& checkpoint);
  /// Runs until max_iters, an early end (early_end.h), a stop request, or max_bad_steps steps in a row that were not finite
  /// (which saves nothing: the last good checkpoint stands). A stop ends an evaluation or a sample in its midst, and in one
  /// process a step between two micro-steps; the weights before it are saved, unless there was no update yet. Throws UserError
  /// when a file cannot be written.
  [[nodiscard]] RunStatus run();
  /// Times a micro-step, a batch of an evaluation and a few tokens of a sample with the weights that are there. Changes nothing
  /// but gradients and activations, which each step begins anew.
  [[nodiscard]] RunPace time_pace();
  /// What evaluations cover; null: there are none.
  [[nodiscard]] const Evaluator* evaluator() const { return evaluator_ ? &*evaluator_ : nullptr; }
  [[nodiscard]] const TrainingState& state() const { return state_; }
  /// What run() has done.
  [[nodiscard]] const RunTally& tally() const { return tally_; }

 private:
  void begin_run();
  void check_same_optimizer(const LoadedCheckpoint& checkpoint) const;
  void restore_optimizer(const LoadedCheckpoint& checkpoint);
  void restore_scaler(const LoadedCheckpoint& checkpoint);
  void report_changes(const TrainingState& saved);
  [[nodiscard]] std::string val_fingerprint() const;
  [[nodiscard]] RunStatus train();
  [[nodiscard]] RunStatus stop();
  [[nodiscard]] bool stop_is_due();
  void start_writing();
  void foresee_stop(bool in_step);
  void evaluate_if_due(bool final_step);
  void sample_if_due();
  void save_if_due();
  void save(const std::string& name);
  [[nodiscard]] StepMetrics train_step();
  void zero_gradients();
  void accumulate_micro_steps();
  void tell_step_under_way(std::int64_t begun, double remaining_s);
  void enqueue_micro_step(std::int64_t micro, GradientObserver* observer);
  [[nodiscard]] std::int64_t first_sequence(std::int64_t micro) const;
  void sum_gradients();
  void await_collectives();
  void prepare_batch(std::int64_t step, std::int64_t micro);
  void update(StepMetrics& metrics, double compute_ms);
  void report_overflow();
  void measure(StepMetrics& metrics, double elapsed_ms);
  void count(const StepMetrics& metrics, const LossHistory& losses);
  void report_non_finite(double loss);
  [[nodiscard]] std::string first_named(const std::string& mine) const;
  [[nodiscard]] RankStep rank_step(double compute_ms) const;
  void write_checkpoint(const std::string& name, PartGathering& gathering);
  void share_weights();
  void warn_if_rising(double previous_loss);
  [[nodiscard]] double time_micro_step();
  [[nodiscard]] double time_token();
  [[nodiscard]] MemoryUse memory_use() const;

  TrainerParts parts_;
  const TrainConfig& config_;
  Gpt gpt_;
  std::optional<GptDecoder> decoder_;  // where samples are made
  Optimizer optimizer_;
  std::unique_ptr<GradientExchange> exchange_;  // with several processes
  LrSchedule schedule_;
  BatchSampler sampler_;
  std::array<DataWatch, 2> data_watches_;  // of what is trained on, and of what is held out
  std::optional<Evaluator> evaluator_;
  std::vector<std::int32_t> sample_prompt_;
  std::optional<LossScaler> scaler_;                           // of float16
  HostBatch batch_;                                            // of one micro-step, the next whenever the device is at work
  std::pair<std::int64_t, std::int64_t> prepared_ = {-1, -1};  // step and micro-step that they belong to
  TrainingState state_;
  std::optional<EvalMetrics> pending_evaluation_;  // made at this step, not yet logged with it
  std::int64_t last_saved_step_ = -1;
  std::int64_t bad_steps_ = 0;
  bool stop_agreed_ = false;  // with several processes: one of them was asked to stop
  std::int64_t rising_evaluations_ = 0;
  std::int64_t first_step_ = 0;     // of this invocation
  bool works_behind_host_ = false;  // the device
  bool writing_ = false;
  RunPace pace_;  // as measured on the way, before that as expected
  RunTally tally_;
};

}  // namespace virgil
