#include "virgil/report/verify.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/philox.h"
#include "virgil/machine/device.h"
#include "virgil/model/gpt.h"
#include "virgil/model/initializer.h"
#include "virgil/optim/optimizer.h"
#include "virgil/plan/run_plan.h"

namespace virgil {

namespace {

constexpr std::uint64_t kSeed = 1;

std::vector<std::int32_t> random_tokens(std::int64_t count, std::int64_t vocab_size, std::uint32_t step) {
  const RandomStream stream{kSeed, RandomPurpose::kShuffle, step, 0};
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<std::int32_t>(random_below(stream, i, static_cast<std::uint64_t>(vocab_size)));
  }
  return tokens;
}

}  // namespace

Verification verify_plan(const PlannedSubject& planned) {
  VIRGIL_CHECK(planned.backend, "verify_plan: the plan is for a device that is not here");
  return verify_plan(*planned.backend, planned.get());
}

Verification verify_plan(Backend& backend, const MemoryPlan& plan) {
  check_plan_fits(plan, backend.available_bytes(), name_of_free_memory(backend), "verify a smaller batch_size or model");
  const ProcessMemory before = read_process_memory();
  TrackingResource tracker(backend.memory());
  const PlannedMemory memory(plan, tracker);
  Gpt gpt(backend, plan, memory);
  Optimizer optimizer(backend, plan, memory, {});
  initialize_parameters(backend, plan.parameters(), gpt.master_weights(), kSeed);
  gpt.refresh_weights();
  optimizer.reset();
  const std::int64_t tokens = plan.step().batch_size * plan.step().length;
  Verification result;
  for (std::uint32_t step = 0; step < 2; ++step) {
    const auto start = std::chrono::steady_clock::now();
    const std::vector<std::int32_t> ids = random_tokens(tokens + 1, plan.model().vocab_size, step);
    const std::span<const std::int32_t> all(ids);
    gpt.load_batch(all.first(all.size() - 1), all.subspan(1));
    gpt.zero_gradients();
    const double loss = gpt.accumulate_gradients(1.0F / static_cast<float>(tokens), {kSeed, step, 0});
    if (step == 0) result.first_loss = loss / static_cast<double>(tokens);
    static_cast<void>(optimizer.step(step + 1, 1e-4));
    result.step_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  result.memory = compare_memory(plan, tracker, before, backend.device_memory());
  return result;
}

std::string describe_verification(const Verification& verification) {
  std::string text = fmt::format("two steps of random tokens: first loss {:.3f}, second step {:.2f} s\n",
                                 verification.first_loss, verification.step_seconds);
  for (const std::string& line : describe_memory(verification.memory)) text += line + "\n";
  return text;
}

}  // namespace virgil
