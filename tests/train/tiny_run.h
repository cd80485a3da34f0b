// A training run that takes milliseconds a step, with everything in reach of a test.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/temporary_directory.h"
#include "support/tiny_text.h"
#include "support/unsynced_file_system.h"
#include "train/run_data.h"
#include "virgil/config/config_schema.h"
#include "virgil/plan/plan_config.h"
#include "virgil/plan/training_plan.h"
#include "virgil/train/trainer.h"

namespace virgil::test_support {

/// Two layers of width 32 with dropout, accumulation, clipping, evaluations and samples: everything that draws random numbers
/// or keeps state takes part. Not resolved.
inline TrainConfig tiny_config(const std::filesystem::path& folder) {
  TrainConfig config;
  config.n_layer = 2;
  config.n_head = 2;
  config.n_embd = 32;
  config.block_size = 16;
  config.dropout = 0.1;
  config.tokenizer = "char";
  config.batch_size = 2;
  config.grad_accum_steps = 2;
  config.max_iters = 8;
  config.lr_decay_iters = 8;
  config.warmup_iters = 2;
  config.learning_rate = 3e-3;
  config.min_lr = 3e-4;
  config.eval_interval = 3;
  config.eval_iters = 3;
  config.save_interval = 0;
  config.sample_interval = 2;
  config.sample_tokens = 20;
  config.dtype = "float32";  // the same on every processor
  config.threads = 1;        // tests run side by side, and a pair of threads waits for the slower one at every op
  config.input = {(folder / "input.txt").string()};
  config.out_dir = (folder / "runs").string();
  config.model_name = "run";
  return config;
}

/// Keeps everything it is told.
class RecordingSink final : public MetricsSink {
 public:
  void info(std::string_view line) override { lines.emplace_back(line); }
  void warn(std::string_view line) override { warnings.emplace_back(line); }
  void step(const StepMetrics& metrics, const LossHistory&) override { steps.push_back(metrics); }
  void evaluation(const EvalMetrics& metrics) override { evaluations.push_back(metrics); }
  void sample(std::int64_t step, std::string_view text) override { samples.emplace_back(step, text); }

  std::vector<std::string> lines, warnings;
  std::vector<StepMetrics> steps;
  std::vector<EvalMetrics> evaluations;
  std::vector<std::pair<std::int64_t, std::string>> samples;
};

/// The parts of a run and its trainer, without run_training around them.
class TinyRun {
 public:
  /// `config` is not resolved. Writes its input unless it is there. Without a backend it runs on the CPU's.
  explicit TinyRun(TrainConfig given, std::string_view text = tiny_text(), std::unique_ptr<Backend> device = nullptr)
      : config((resolve_config(given), given)),
        data((write_input(config, text), load_run_data(config, nullptr, files, sink))),
        backend(device ? std::move(device) : make_cpu_backend({.num_threads = static_cast<int>(config.threads)})),
        plan(plan_training(training_shape(config, make_model_config(config, *data.tokenizer)), backend->traits())),
        tracker(backend->memory()),
        memory(plan, tracker),
        trainer({config,
                 *backend,
                 tracker,
                 plan,
                 memory,
                 *data.tokenizer,
                 data.train,
                 data.val ? &*data.val : nullptr,
                 files,
                 folder(),
                 sink,
                 record,
                 progress,
                 0,
                 {},
                 [this] { begin_writing(); }}) {
    std::filesystem::create_directories(folder());
  }

  /// From new weights to the end, or to what ends it before.
  [[nodiscard]] RunStatus train() {
    trainer.initialize();
    return trainer.run();
  }

  [[nodiscard]] std::filesystem::path folder() const { return std::filesystem::path(config.out_dir) / config.model_name; }
  /// A slot of float32.
  [[nodiscard]] std::vector<float> read(PlanSlot slot) const {
    const auto* begin = reinterpret_cast<const float*>(memory.bytes(slot).data());
    return {begin, begin + plan.parameters().flat_elements()};
  }
  /// The elements of one parameter, to be spoilt.
  [[nodiscard]] std::span<float> parameter(std::string_view name, PlanSlot slot = PlanSlot::kWeights) const {
    const ParameterSpec& spec = plan.parameters().find(name);
    auto* begin = reinterpret_cast<float*>(memory.bytes(slot).data()) + spec.offset;
    return {begin, static_cast<std::size_t>(spec.num_elements())};
  }
  [[nodiscard]] std::vector<std::string> checkpoints() const {
    std::vector<std::string> names;
    for (const auto& path : list_step_checkpoints(folder())) names.push_back(path.filename().string());
    return names;
  }

  class Monitor final : public ProgressMonitor {
   public:
    explicit Monitor(TinyRun& run) : run_(run) {}
    bool stop_requested() override { return run_.stop_requested(run_); }
    void foresee_stop(std::string_view when, std::string_view, bool) override {
      if (when.starts_with("after")) run_.before_step(run_);
    }

   private:
    TinyRun& run_;
  };

  /// Asked at the top of every step, between micro-steps, and in evaluations and samples.
  std::function<bool(TinyRun&)> stop_requested = [](TinyRun&) { return false; };
  /// Called before every step, after what is due at its top.
  std::function<void(TinyRun&)> before_step = [](TinyRun&) {};

  TrainConfig config;
  RecordingSink sink;
  UnsyncedFileSystem files;
  Dataset data;
  std::unique_ptr<Backend> backend;
  MemoryPlan plan;
  TrackingResource tracker;
  PlannedMemory memory;
  RunRecord record;
  Monitor progress{*this};
  Trainer trainer;

 private:
  /// A new run has done its first step by then.
  void begin_writing() {
    const bool is_new = !std::filesystem::exists(folder() / "metrics.jsonl");
    record.open(files, folder(), {.first_step = is_new ? 0 : trainer.state().step}, config);
  }
  static void write_input(const TrainConfig& config, std::string_view text) {
    if (!std::filesystem::exists(config.input.front())) write_all(config.input.front(), text);
  }
};

}  // namespace virgil::test_support
