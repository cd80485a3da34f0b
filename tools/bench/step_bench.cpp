#include "bench/step_bench.h"

#include <algorithm>
#include <set>
#include <span>

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

  /// One step on `backend`, as Trainer makes it.
  void step(Gpt& gpt, Optimizer& optimizer) {
    const double tokens_per_step = static_cast<double>(num_tokens() * planned.shape.grad_accum_steps);
    gpt.zero_gradients();
    for (std::int64_t micro = 0; micro < planned.shape.grad_accum_steps; ++micro) {
      gpt.load_batch(tokens, targets);
      gpt.enqueue_gradients(static_cast<float>(1 / tokens_per_step),
                            {.seed = config.seed, .step = static_cast<std::uint32_t>(steps_done)}, micro);
    }
    optimizer.enqueue_norm();
    static_cast<void>(read_step_figures(*planned.backend, planned.get(), memory));
    optimizer.enqueue_update(++steps_done, config.learning_rate);
  }

  TrainConfig config;
  PlannedSubject planned;
  std::int64_t used_before_bytes;  // the plan was allocated
  PlannedMemory memory;
  std::vector<std::int32_t> tokens, targets;
  std::int64_t steps_done = 0;
};

StepBench::StepBench(const Subject& subject) : parts_(std::make_unique<Parts>(subject)) {}
StepBench::~StepBench() = default;
Backend& StepBench::backend() { return *parts_->planned.backend; }
const MemoryPlan& StepBench::plan() const { return parts_->planned.get(); }

StepResult StepBench::time_steps(std::int64_t num_steps) {
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
  StepResult result;
  result.num_steps = num_steps;
  result.ms = median(times);
  const auto tokens = static_cast<double>(parts_->num_tokens() * parts_->planned.shape.grad_accum_steps);
  result.tokens_per_s = tokens / (result.ms / 1000);
  result.model_gflops = model_flops_per_token(plan().model()) * result.tokens_per_s / 1e9;
  return result;
}

StepResult StepBench::time_steps_and_ops(std::int64_t num_steps) {
  StepResult result = time_steps(num_steps);
  OpTimer timer;
  TimingBackend timing(backend(), timer);
  Gpt gpt(timing, plan(), parts_->memory);
  Optimizer optimizer = parts_->optimizer(timing);
  for (std::int64_t i = 0; i < num_steps; ++i) {
    timing.begin_round();
    parts_->step(gpt, optimizer);
    timing.end_round();
  }
  result.by_family_ms = timer.ms_by_family();
  result.ops = timer.timings();
  return result;
}

std::vector<OpTiming> StepBench::time_inference_ops() {
  constexpr int kRounds = 3;
  OpTimer timer;
  TimingBackend timing(backend(), timer);
  Gpt gpt(timing, plan(), parts_->memory);
  gpt.load_batch(parts_->tokens, parts_->targets);
  for (int i = 0; i < kRounds; ++i) {
    timing.begin_round();
    static_cast<void>(gpt.evaluate());
    timing.end_round();
  }
  if (parts_->planned.shape.samples) {
    GptDecoder decoder(timing, plan(), parts_->memory);
    const std::span prompt = std::span(parts_->tokens).first(static_cast<std::size_t>(decoder.remaining() - 1));
    for (int i = 0; i < kRounds; ++i) {
      timing.begin_round();
      decoder.reset();
      static_cast<void>(decoder.append(prompt));
      static_cast<void>(decoder.append(prompt.first(1)));
      timing.end_round();
    }
  }
  const std::set<std::string> wanted = {"cross_entropy_forward", "attention_decode"};
  std::vector<OpTiming> timings = timer.timings();
  std::erase_if(timings, [&](const OpTiming& t) { return !wanted.contains(t.name); });
  return timings;
}

std::optional<GenerationResult> StepBench::time_generation() {
  constexpr std::int64_t kMaxTokens = 200;
  if (!parts_->planned.shape.samples) return std::nullopt;
  Gpt(backend(), plan(), parts_->memory).refresh_weights();
  GptDecoder decoder(backend(), plan(), parts_->memory);
  std::span<const float> logits = decoder.append(std::span(parts_->tokens).first(1));
  GenerationResult result;
  result.num_tokens = std::min(kMaxTokens, decoder.remaining());
  std::vector<double> times;
  for (std::int64_t i = 0; i < result.num_tokens; ++i) {
    const auto likeliest = static_cast<std::int32_t>(std::ranges::max_element(logits) - logits.begin());
    const Clock::time_point start = Clock::now();
    logits = decoder.append({&likeliest, 1});
    times.push_back(milliseconds_since(start));
  }
  result.ms_per_token = median(times);
  for (const ParameterSpec& spec : plan().parameters().parameters()) {
    const bool is_head = spec.name == "transformer.wte.weight" && plan().model().tie_weights;
    const bool is_looked_up = spec.name == "transformer.wpe.weight" || (spec.name == "transformer.wte.weight" && !is_head);
    if (!is_looked_up) result.weight_bytes += static_cast<double>(spec.num_elements() * size_of(plan().dtype()));
  }
  return result;
}

std::int64_t StepBench::resident_growth_bytes() const {
  return used_bytes(*parts_->planned.backend) - parts_->used_before_bytes;
}

}  // namespace virgil::bench
