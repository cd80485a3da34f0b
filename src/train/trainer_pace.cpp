// How long a trainer's parts take, before it has begun.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "train/gradient_exchange.h"
#include "virgil/generate/text_generator.h"
#include "virgil/train/trainer.h"

namespace virgil {

namespace {

using PaceClock = std::chrono::steady_clock;

double seconds_since(PaceClock::time_point start) { return std::chrono::duration<double>(PaceClock::now() - start).count(); }

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::ranges::nth_element(values, middle);
  return *middle;
}

}  // namespace

RunPace Trainer::time_pace() {
  RunPace pace;
  const double micro_s = time_micro_step();
  pace.step_s = pace_.step_s = micro_s * static_cast<double>(config_.grad_accum_steps);
  if (evaluator_ && config_.eval_interval > 0) {
    const auto start = PaceClock::now();
    static_cast<void>(gpt_.evaluate());
    pace.evaluation_s = seconds_since(start) * static_cast<double>(evaluator_->num_batches()) / parts_.ranks.size();
  }
  if (decoder_ && parts_.ranks.is_root()) pace.sample_s = time_token() * static_cast<double>(config_.sample_tokens);
  return pace;
}

double Trainer::time_micro_step() {
  // A busy machine takes the median's time, not the best one's; what takes seconds is timed once.
  constexpr double kEnoughSeconds = 0.03;
  constexpr std::size_t kMostTimes = 9;
  std::vector<double> times;
  double total_s = 0;
  zero_gradients();
  for (bool makes_code = true; makes_code || (total_s < kEnoughSeconds && times.size() < kMostTimes); makes_code = false) {
    if (parts_.ranks.size() == 1 && parts_.progress.stop_requested()) throw Stopped();
    const auto start = PaceClock::now();
    enqueue_micro_step(0, nullptr);
    parts_.backend.synchronize();
    const double seconds = seconds_since(start);
    total_s += seconds;
    if (!makes_code || seconds > 1) times.push_back(seconds);
    if (seconds > 1) break;
  }
  return times.empty() ? total_s : median(times);
}

/// Of a sample, after its prompt.
double Trainer::time_token() {
  GenerationOptions options;
  options.max_new_tokens = std::min<std::int64_t>(4, config_.sample_tokens);
  options.num_choices = parts_.tokenizer.vocab_size();
  TextGenerator generator(*decoder_, options);
  auto start = PaceClock::now();
  std::int64_t num_tokens = 0;
  generator.run(sample_prompt_, [&](std::int64_t, std::int32_t) {
    if (num_tokens++ == 0) start = PaceClock::now();
    return true;
  });
  return num_tokens > 1 ? seconds_since(start) / static_cast<double>(num_tokens - 1) : 0;
}

}  // namespace virgil
