#include "bench/step_bench.h"

#include <algorithm>
#include <set>
#include <span>

#include "bench/peak_meter.h"
#include "bench/random_tokens.h"
#include "bench/timing_backend.h"
#include "virgil/machine/device.h"
#include "virgil/model/gpt.h"
#include "virgil/model/gpt_decoder.h"
#include "virgil/model/initializer.h"
#include "virgil/optim/optimizer.h"
#include "virgil/optim/step_figures.h"
#include "virgil/plan/estimates.h"
#include "virgil/plan/run_plan.h"
#include "virgil/train/metrics.h"
#include "virgil/train/schedule_config.h"
#include "virgil/train/trainer.h"
#include "virgil/train/training_run.h"

namespace virgil::bench {

namespace {

/// Of the device where it has memory of its own, else resident bytes of the process.
std::int64_t used_bytes(const Backend& backend) {
  const std::optional<DeviceMemory> device = backend.device_memory();
  return device ? device->total_bytes - device->free_bytes : read_process_memory().rss_bytes;
}

/// Of the weights that a token's pass reads once.
double weight_bytes_of_a_token(const MemoryPlan& plan) {
  double bytes = 0;
  for (const ParameterSpec& spec : plan.parameters().parameters()) {
    const bool is_looked_up = spec.part == TensorGroup::kPositionEmbedding ||
                              (spec.part == TensorGroup::kTokenEmbedding && !plan.model().tie_weights);
    if (!is_looked_up) bytes += static_cast<double>(spec.num_elements() * size_of(plan.dtype()));
  }
  return bytes;
}

PlannedSubject make_plan(const Subject& subject) {
  PlannedSubject planned = plan_subject(subject);
  const MemoryPlan& plan = planned.get();  // throws where there is no backend
  check_plan_fits(plan, planned.backend->available_bytes(), name_of_free_memory(*planned.backend),
                  "a smaller batch_size or model, or --recompute block");
  return planned;
}

}  // namespace

struct StepBench::Parts {
  explicit Parts(const Subject& subject)
      : config(subject.resolved),
        planned(make_plan(subject)),
        meter(*planned.backend, planned.get().dtype(), config.threads),
        used_before_bytes(used_bytes(*planned.backend)),
        memory(planned.get(), planned.backend->memory()),
        tokens(random_tokens(num_tokens(), planned.get().model().vocab_size, 0)),
        targets(random_tokens(num_tokens(), planned.get().model().vocab_size, 1)) {
    Gpt gpt(*planned.backend, planned.get(), memory);
    initialize_parameters(*planned.backend, planned.get().parameters(), gpt.master_weights(), config.seed);
    gpt.refresh_weights();
    optimizer(*planned.backend).reset();
  }

  /// Of one micro-step.
  [[nodiscard]] std::int64_t num_tokens() const {
    return checked_multiply(planned.get().step().batch_size, planned.get().step().length);
  }
  [[nodiscard]] Optimizer optimizer(Backend& backend) const {
    return {backend, planned.get(), memory, optimizer_options_of(config)};
  }

  [[nodiscard]] std::int64_t tokens_per_step() const { return num_tokens() * planned.shape.grad_accum_steps; }
  /// `work`, which needs the plan's workspace, between two slices of the peak.
  template <typename Work>
  MachinePeak around(const Work& work) {
    return meter.around([&] {
      planned.backend->bind_workspace(memory.bytes(PlanSlot::kWorkspace));
      work();
    });
  }

  /// One step, as Trainer makes it. `begin_update` is called between the gradients and their norm.
  template <typename Call = void (*)()>
  void step(
      Gpt& gpt, Optimizer& optimizer, const Call& begin_update = [] {}) {
    gpt.zero_gradients();
    for (std::int64_t micro = 0; micro < planned.shape.grad_accum_steps; ++micro) {
      gpt.load_batch(tokens, targets);
      gpt.enqueue_gradients(static_cast<float>(1 / static_cast<double>(tokens_per_step())),
                            {.seed = config.seed, .step = static_cast<std::uint32_t>(steps_done)}, micro);
    }
    begin_update();
    optimizer.enqueue_norm();
    static_cast<void>(read_step_figures(*planned.backend, planned.get(), memory));
    optimizer.enqueue_update(++steps_done, config.learning_rate);
  }

  TrainConfig config;
  PlannedSubject planned;
  PeakMeter meter;
  std::int64_t used_before_bytes;  // the plan was allocated
  PlannedMemory memory;
  std::vector<std::int32_t> tokens, targets;
  std::int64_t steps_done = 0;
};

StepBench::StepBench(const Subject& subject) : parts_(std::make_unique<Parts>(subject)) {}
StepBench::~StepBench() = default;
Backend& StepBench::backend() { return *parts_->planned.backend; }
const MemoryPlan& StepBench::plan() const { return parts_->planned.get(); }

double StepBench::tokens_per_s(double step_ms) const { return 1000 * static_cast<double>(parts_->tokens_per_step()) / step_ms; }

std::vector<double> StepBench::time_steps(std::int64_t num_steps) {
  Gpt gpt(backend(), plan(), parts_->memory);
  Optimizer optimizer = parts_->optimizer(backend());
  parts_->step(gpt, optimizer);
  std::vector<double> times;
  for (std::int64_t i = 0; i < num_steps; ++i) {
    const Clock::time_point start = Clock::now();
    parts_->step(gpt, optimizer);
    backend().synchronize();
    times.push_back(milliseconds_since(start));
  }
  return times;
}

StepResult StepBench::time_steps_and_ops(std::int64_t num_turns) {
  // In a shorter step, what a slice has driven out of the caches would count.
  constexpr double kLongStepMs = 200;
  OpTimer timer;
  TimingBackend timing(backend(), timer);
  Gpt gpt(backend(), plan(), parts_->memory), timed_gpt(timing, plan(), parts_->memory);
  Optimizer optimizer = parts_->optimizer(backend()), timed_optimizer = parts_->optimizer(timing);
  const auto step_ms = [&] {
    const Clock::time_point start = Clock::now();
    parts_->step(gpt, optimizer);
    backend().synchronize();
    return milliseconds_since(start);
  };
  static_cast<void>(step_ms());  // makes the library's code
  std::vector<double> times, shares;
  std::vector<MachinePeak> peaks;
  StepResult result;
  result.tokens = static_cast<double>(parts_->tokens_per_step());
  result.model_gflop = model_flops_per_token(plan().model()) * result.tokens / 1e9;
  for (std::int64_t turn = 0; turn < num_turns; ++turn) {
    peaks.push_back(parts_->around([&] {
      if (times.empty() || times.back() < kLongStepMs) static_cast<void>(step_ms());
      times.push_back(step_ms());
      timing.begin_round();
      timing.begin_phase(kStepPhase);
      parts_->step(timed_gpt, timed_optimizer, [&] { timing.begin_phase(kUpdatePhase); });
      timing.end_round();
    }));
    shares.push_back(1000 * result.model_gflop / times.back() / peaks.back().gemm_gflops);
  }
  result.ms = spread_of(times);
  result.peak_share = spread_of(shares);
  result.by_family_ms = timer.ms_by_family();
  result.ops = timer.timings(peaks);
  return result;
}

std::vector<OpTiming> StepBench::time_inference_ops() {
  constexpr int kTurns = 3;
  OpTimer timer;
  TimingBackend timing(backend(), timer);
  timing.begin_phase(kInferencePhase);
  Gpt gpt(timing, plan(), parts_->memory);
  std::optional<GptDecoder> decoder;
  if (parts_->planned.shape.samples) decoder.emplace(timing, plan(), parts_->memory);
  std::vector<MachinePeak> peaks;
  for (int i = 0; i < kTurns; ++i) {
    peaks.push_back(parts_->around([&] {
      timing.begin_round();
      gpt.load_batch(parts_->tokens, parts_->targets);
      static_cast<void>(gpt.evaluate());
      if (decoder) {
        decoder->reset();
        const std::span prompt = std::span(parts_->tokens).first(static_cast<std::size_t>(decoder->remaining() - 1));
        static_cast<void>(decoder->append(prompt));
        static_cast<void>(decoder->append(prompt.first(1)));
      }
      timing.end_round();
    }));
  }
  const std::set<std::string> wanted = {"cross_entropy_forward", "attention_decode"};
  std::vector<OpTiming> timings = timer.timings(peaks);
  std::erase_if(timings, [&](const OpTiming& t) { return !wanted.contains(t.label.name); });
  return timings;
}

std::optional<GenerationResult> StepBench::time_generation() {
  constexpr std::int64_t kTurns = 8, kMostTokens = 25;
  if (!parts_->planned.shape.samples) return std::nullopt;
  Gpt(backend(), plan(), parts_->memory).refresh_weights();
  GptDecoder decoder(backend(), plan(), parts_->memory);
  // The first token of a turn is not timed: it brings back what the slice has driven out of the caches.
  const std::int64_t tokens_per_turn = std::min(kMostTokens, decoder.remaining() - 1);
  if (tokens_per_turn < 1) return std::nullopt;
  GenerationResult result;
  result.weight_bytes = weight_bytes_of_a_token(plan());
  std::vector<double> times, shares;
  for (std::int64_t turn = 0; turn < kTurns; ++turn) {
    if (decoder.remaining() <= tokens_per_turn) decoder.reset();
    std::vector<double> turn_ms;
    const MachinePeak peak = parts_->around([&] {
      std::span<const float> logits = decoder.append(std::span(parts_->tokens).first(1));
      for (std::int64_t i = 0; i < tokens_per_turn; ++i) {
        const auto likeliest = static_cast<std::int32_t>(std::ranges::max_element(logits) - logits.begin());
        const Clock::time_point start = Clock::now();
        logits = decoder.append({&likeliest, 1});
        turn_ms.push_back(milliseconds_since(start));
      }
    });
    shares.push_back(result.weight_bytes / (peak.bandwidth_gb_per_s * 1e6) / median(turn_ms));
    times.insert(times.end(), turn_ms.begin(), turn_ms.end());
  }
  result.num_tokens = std::ssize(times);
  result.ms_per_token = median(times);
  result.floor_share = spread_of(shares);
  return result;
}

std::int64_t StepBench::resident_growth_bytes() const {
  return used_bytes(*parts_->planned.backend) - parts_->used_before_bytes;
}

PeakSpread StepBench::peak() const { return parts_->meter.spread(); }

}  // namespace virgil::bench
