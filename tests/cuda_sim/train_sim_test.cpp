// The whole engine on the CUDA backend, in the simulator: what a run promises holds there too, and it learns what the CPU
// learns.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cuda/sim/control.h"
#include "support/half_backend.h"
#include "support/test_model.h"
#include "support/user_error.h"
#include "train/tiny_run.h"
#include "virgil/backend/cuda_backend.h"
#include "virgil/machine/device.h"
#include "virgil/plan/planning_traits.h"

namespace virgil {
namespace {

using test_support::probable_gamma;
using test_support::tiny_config;
using test_support::tiny_text;
using test_support::TinyRun;

constexpr PlanSlot kStateSlots[] = {PlanSlot::kMasterWeights, PlanSlot::kWeights, state_slot(0), state_slot(1)};

/// Losses and norms of a run's steps.
std::vector<std::pair<double, double>> figures(const TinyRun& run) {
  std::vector<std::pair<double, double>> result;
  for (const StepMetrics& step : run.sink.steps) result.emplace_back(step.loss, step.grad_norm);
  return result;
}

/// Of figures that may be infinite or NaN.
MATCHER(SameBits, "") {
  const auto& [a, b] = arg;
  return std::bit_cast<std::uint64_t>(a.first) == std::bit_cast<std::uint64_t>(b.first) &&
         std::bit_cast<std::uint64_t>(a.second) == std::bit_cast<std::uint64_t>(b.second);
}

/// Everything that a run carries from step to step, as bytes on the host.
using State = std::map<PlanSlot, std::vector<std::byte>>;
State read_state(TinyRun& run) {
  State state;
  for (const PlanItem& item : run.plan.items()) {
    if (std::ranges::find(kStateSlots, item.slot) == std::end(kStateSlots)) continue;
    std::vector<std::byte>& bytes = state[item.slot];
    bytes.resize(static_cast<std::size_t>(item.size_bytes));
    run.backend->copy_to_host(bytes, run.memory.view(item.slot, 0, DType::kBFloat16, {item.size_bytes / 2}));
  }
  return state;
}
void write_state(TinyRun& run, const State& state) {
  for (const auto& [slot, bytes] : state) {
    run.backend->copy_from_host(run.memory.view(slot, 0, DType::kBFloat16, {std::ssize(bytes) / 2}), bytes);
  }
}

class TrainSim : public testing::Test {
 protected:
  void TearDown() override { simt::set_schedule(simt::schedule_of(0)); }

  /// In place of a dtype: bfloat16 without master weights.
  static constexpr const char* kAlone = "bfloat16_alone";

  /// Dropout, two micro-steps, clipping; neither samples nor evaluations, which cost more than the steps.
  [[nodiscard]] TrainConfig config(const std::string& name, const std::string& dtype, std::int64_t max_iters) const {
    TrainConfig config = tiny_config(directory_.path());
    config.model_name = name;
    config.master_weights = dtype != kAlone;
    config.dtype = config.master_weights ? dtype : "bfloat16";
    config.max_iters = config.lr_decay_iters = max_iters;
    config.warmup_iters = std::min<std::int64_t>(2, max_iters - 1);
    config.grad_clip = 0.5;
    config.eval_interval = 0;
    config.sample_interval = 0;
    return config;
  }
  static std::unique_ptr<Backend> gpu(int compute_capability = 80, bool graphs = true) {
    simt::DeviceModel model;
    model.compute_capability = compute_capability;
    simt::set_device(model);
    return make_cuda_backend({.graphs = graphs});
  }
  /// The CPU's backend, storing float16 where the run does.
  static std::unique_ptr<Backend> cpu() {
    return std::make_unique<test_support::HalfBackend>(make_cpu_backend({.num_threads = 1}));
  }
  static void train(TinyRun& run) { ASSERT_EQ(run.train(), RunStatus::kFinished); }

  test_support::TemporaryDirectory directory_;
};

class TrainSimTypes : public TrainSim, public testing::WithParamInterface<const char*> {
 protected:
  /// Unit roundoff of what is stored, times the probable growth over the roundings between the weights and a loss, and to a
  /// gradient. In float32 every operation rounds; in 16 bits only stores do, twelve a layer (three in attention, whose
  /// probabilities are rounded for the products) and five beside them, and three times as many on the way there and back.
  [[nodiscard]] static double forward_gamma(const MemoryPlan& plan) {
    const double single = probable_gamma(test_support::forward_path_length(plan.model(), plan.step().length));
    return plan.dtype() == DType::kFloat32 ? single : single + half_gamma(plan.dtype(), num_stores(plan));
  }
  [[nodiscard]] static double backward_gamma(const MemoryPlan& plan) {
    const StepShape& step = plan.step();
    const double single = probable_gamma(test_support::backward_path_length(plan.model(), step.batch_size, step.length));
    return plan.dtype() == DType::kFloat32 ? single : single + half_gamma(plan.dtype(), 3 * num_stores(plan));
  }

 private:
  static std::int64_t num_stores(const MemoryPlan& plan) { return 12 * plan.model().num_layers + 5; }
  static double half_gamma(DType dtype, std::int64_t n) {
    const double unit = dtype == DType::kBFloat16 ? 0x1.0p-8 : 0x1.0p-11;
    return probable_gamma(n) / test_support::kUnitRoundoff * unit;
  }
};

// From the same weights and moments at every one of 10 steps, so that each step's rounding is seen alone.
TEST_P(TrainSimTypes, EveryStepIsTheCpusWithinRounding) {
  constexpr std::int64_t kSteps = 10;
  std::vector<State> states;
  TinyRun reference(config("cpu", GetParam(), kSteps), tiny_text(), cpu());
  reference.before_step = [&](TinyRun& run) { states.push_back(read_state(run)); };
  train(reference);
  TinyRun run(config("gpu", GetParam(), kSteps), tiny_text(), gpu());
  run.before_step = [&](TinyRun& tiny) { write_state(tiny, states.at(static_cast<std::size_t>(tiny.trainer.state().step))); };
  train(run);
  ASSERT_EQ(run.sink.steps.size(), static_cast<std::size_t>(kSteps));
  bool clipped = false;
  for (std::size_t i = 0; i < run.sink.steps.size(); ++i) {
    const StepMetrics& expected = reference.sink.steps[i];
    const StepMetrics& actual = run.sink.steps[i];
    EXPECT_TRUE(actual.updated) << i;
    EXPECT_NEAR(actual.loss, expected.loss, forward_gamma(run.plan) * expected.loss) << "step " << i;
    EXPECT_NEAR(actual.grad_norm, expected.grad_norm, backward_gamma(run.plan) * expected.grad_norm) << "step " << i;
    clipped = clipped || actual.grad_norm > 0.5;
  }
  EXPECT_TRUE(clipped) << "clipping took part";
}

TEST_P(TrainSimTypes, LearnsByItself) {
  TrainConfig given = config("run", GetParam(), 20);
  given.learning_rate = 1e-2;
  TinyRun run(given, tiny_text(), gpu());
  const std::int64_t num_allocations = run.tracker.num_allocations();
  train(run);
  const std::vector<StepMetrics>& steps = run.sink.steps;
  const double guess = std::log(static_cast<double>(run.plan.model().vocab_size));
  EXPECT_NEAR(steps.front().loss, guess, 0.02 * guess);
  EXPECT_LT(steps.back().loss, 0.9 * steps.front().loss);
  // Planned bytes are allocated bytes, and nothing is allocated on the way.
  EXPECT_EQ(run.tracker.current(), run.plan.by_category());
  EXPECT_EQ(run.tracker.peak_bytes(), run.plan.total_bytes());
  EXPECT_EQ(run.tracker.num_allocations(), num_allocations);
  for (const StepMetrics& step : steps) {
    ASSERT_TRUE(step.memory.device.has_value());
    EXPECT_EQ(step.memory.device->free_bytes, steps.front().memory.device->free_bytes) << "step " << step.step;
    EXPECT_GE(step.memory.device->total_bytes - step.memory.device->free_bytes, run.plan.total_bytes());
  }
}

TEST_P(TrainSimTypes, RecomputationRepeatsTheBits) {
  std::vector<std::pair<double, double>> expected;
  State state;
  for (const Recompute recompute : kAllRecompute) {
    TrainConfig given = config(std::string(name_of(recompute)), GetParam(), 4);
    given.recompute = name_of(recompute);
    TinyRun run(given, tiny_text(), gpu());
    ASSERT_EQ(run.plan.step().recompute, recompute);
    train(run);
    if (recompute == Recompute::kNone) {
      expected = figures(run);
      state = read_state(run);
    }
    EXPECT_EQ(figures(run), expected) << name_of(recompute);
    EXPECT_EQ(read_state(run), state) << name_of(recompute);
  }
}

TEST_P(TrainSimTypes, AStoppedRunGoesOnBitForBit) {
  constexpr std::int64_t kSteps = 6;
  const auto given = [&](const char* name) {
    TrainConfig result = config(name, GetParam(), kSteps);
    result.optimizer_state_dtype = result.dtype == "bfloat16" ? "bfloat16" : "float32";
    return result;
  };
  TinyRun whole(given("whole"), tiny_text(), gpu());
  train(whole);
  {
    TinyRun begun(given("stopped"), tiny_text(), gpu());
    begun.stop_requested = [](TinyRun& run) { return run.trainer.state().step == 3; };
    ASSERT_EQ(begun.train(), RunStatus::kInterrupted);
  }
  TinyRun resumed(given("stopped"), tiny_text(), gpu());
  resumed.trainer.restore(load_checkpoint(resumed.folder() / step_checkpoint_name(3)));
  ASSERT_EQ(resumed.trainer.run(), RunStatus::kFinished);
  const auto all = figures(whole);
  EXPECT_EQ(figures(resumed), std::vector(all.begin() + 3, all.end()));
  EXPECT_EQ(read_state(resumed), read_state(whole));
  const auto scaler_of = [](const TinyRun& run) {
    return load_checkpoint(run.folder() / step_checkpoint_name(kSteps)).state.loss_scaler;
  };
  EXPECT_EQ(scaler_of(resumed), scaler_of(whole));
}

TEST_P(TrainSimTypes, MicroStepsAddUpToOneBatch) {
  TrainConfig given = config("two", GetParam(), 1);
  given.batch_size = 2;
  given.grad_accum_steps = 2;
  TinyRun two(given, tiny_text(), gpu());
  given.model_name = "one";
  given.batch_size = 4;
  given.grad_accum_steps = 1;
  TinyRun one(given, tiny_text(), gpu());
  train(two);
  train(one);
  const auto [two_loss, two_norm] = figures(two).front();
  const auto [one_loss, one_norm] = figures(one).front();
  EXPECT_NEAR(two_loss, one_loss, forward_gamma(one.plan) * one_loss);
  EXPECT_NEAR(two_norm, one_norm, backward_gamma(one.plan) * one_norm);
}

TEST_P(TrainSimTypes, TheOrderOfThreadsAndStreamsChangesNothing) {
  std::vector<std::pair<double, double>> expected;
  State state;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    simt::set_schedule(simt::schedule_of(seed));
    TinyRun run(config(std::to_string(seed), GetParam(), 2), tiny_text(), gpu());
    train(run);
    if (seed == 0) {
      expected = figures(run);
      state = read_state(run);
    }
    EXPECT_EQ(figures(run), expected) << "seed " << seed;
    EXPECT_EQ(read_state(run), state) << "seed " << seed;
  }
}

// Dropout, micro-steps and evaluations between, with the least and the most recomputation.
TEST_P(TrainSimTypes, GraphsRepeatTheBits) {
  constexpr std::int64_t kSteps = 4;
  for (const char* recompute : {"none", "block"}) {
    std::vector<std::pair<double, double>> expected;
    std::vector<double> evaluations;
    State state;
    for (const bool graphs : {false, true}) {
      TrainConfig given = config(std::string(recompute) + (graphs ? "_graph" : ""), GetParam(), kSteps);
      given.recompute = recompute;
      given.dropout = 0.2;
      given.batch_size = 2;
      given.grad_accum_steps = 3;
      given.eval_interval = 2;
      given.eval_iters = 1;
      const std::uint64_t launches_before = simt::statistics().graph_launches;
      TinyRun run(given, tiny_text(), gpu(80, graphs));
      train(run);
      // All micro-steps but the first.
      EXPECT_EQ(simt::statistics().graph_launches - launches_before, graphs ? kSteps * given.grad_accum_steps - 1 : 0);
      std::vector<double> losses;
      for (const EvalMetrics& evaluation : run.sink.evaluations) losses.push_back(evaluation.loss);
      if (!graphs) {
        expected = figures(run);
        evaluations = losses;
        state = read_state(run);
        continue;
      }
      EXPECT_EQ(figures(run), expected) << recompute;
      EXPECT_EQ(losses, evaluations) << recompute;
      EXPECT_EQ(read_state(run), state) << recompute;
    }
  }
}

TEST_P(TrainSimTypes, ARunGoesOnBitForBitWithAndWithoutGraphs) {
  constexpr std::int64_t kSteps = 5;
  TinyRun whole(config("whole", GetParam(), kSteps), tiny_text(), gpu());
  train(whole);
  for (const bool graphs : {false, true}) {
    const TrainConfig given = config(graphs ? "on" : "off", GetParam(), kSteps);
    {
      TinyRun begun(given, tiny_text(), gpu(80, !graphs));
      begun.stop_requested = [](TinyRun& run) { return run.trainer.state().step == 3; };
      ASSERT_EQ(begun.train(), RunStatus::kInterrupted);
    }
    TinyRun resumed(given, tiny_text(), gpu(80, graphs));
    resumed.trainer.restore(load_checkpoint(resumed.folder() / step_checkpoint_name(3)));
    ASSERT_EQ(resumed.trainer.run(), RunStatus::kFinished);
    EXPECT_EQ(read_state(resumed), read_state(whole));
  }
}

// Uploads, passes and the update are asked for; only the figures of the step are waited for.
TEST_P(TrainSimTypes, AStepWaitsForTheDeviceOnce) {
  simt::Schedule lazy;
  lazy.lazy_streams = true;
  simt::set_schedule(lazy);
  for (const bool graphs : {false, true}) {
    TrainConfig given = config(graphs ? "on" : "off", GetParam(), 4);
    given.grad_accum_steps = 5;
    std::vector<std::uint64_t> waits;
    TinyRun run(given, tiny_text(), gpu(80, graphs));
    run.before_step = [&](TinyRun&) { waits.push_back(simt::statistics().host_waits); };
    train(run);
    ASSERT_EQ(waits.size(), 4U);
    for (std::size_t step = 1; step < waits.size(); ++step) EXPECT_EQ(waits[step] - waits[step - 1], 1U) << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, TrainSimTypes, testing::Values("float32", "bfloat16", "bfloat16_alone", "float16"),
                         [](const auto& info) { return std::string(info.param); });

TEST_F(TrainSim, ALossScaleThatOverflowsIsHalvedUntilTheGradientsFit) {
  TrainConfig given = config("run", "float16", 14);
  given.max_bad_steps = 1;
  {
    TinyRun begun(given, tiny_text(), gpu());
    begun.stop_requested = [](TinyRun& run) { return run.trainer.state().step == 1; };
    ASSERT_EQ(begun.train(), RunStatus::kInterrupted);
  }
  std::vector<std::pair<double, double>> without_graphs;
  State state_without_graphs;
  for (const bool graphs : {false, true}) {
    TinyRun run(given, tiny_text(), gpu(80, graphs));
    LoadedCheckpoint checkpoint = load_checkpoint(run.folder() / step_checkpoint_name(1));
    checkpoint.state.loss_scaler = {.scale = 0x1p24, .good_steps = 7};
    run.trainer.restore(checkpoint);
    const State before = read_state(run);
    State after;
    run.before_step = [&](TinyRun& tiny) {
      if (tiny.trainer.state().step == 2) after = read_state(tiny);
    };
    ASSERT_EQ(run.trainer.run(), RunStatus::kFinished);
    // (softmax - onehot) 2^24 / 64 tokens is above 65504 at every target of a new model.
    EXPECT_FALSE(run.sink.steps.front().updated);
    EXPECT_EQ(before, after) << "nothing was changed";
    double scale = 0x1p24;
    for (const StepMetrics& step : run.sink.steps) {
      EXPECT_EQ(step.loss_scale, scale);
      if (!step.updated) scale /= 2;
    }
    EXPECT_TRUE(run.sink.steps.back().updated);
    if (!graphs) {
      without_graphs = figures(run);
      state_without_graphs = read_state(run);
      continue;
    }
    // A pass is recorded for the scale that it multiplies the loss by.
    EXPECT_EQ(read_state(run), state_without_graphs);
    EXPECT_THAT(figures(run), testing::Pointwise(SameBits(), without_graphs));
  }
}

TEST_F(TrainSim, TheKeyChoosesWhetherPassesAreRecorded) {
  for (const bool cuda_graph : {true, false}) {
    TrainConfig given = config(cuda_graph ? "on" : "off", "float32", 2);
    given.device = "cuda";
    given.cuda_graph = cuda_graph;
    given.cublaslt_tuning = false;  // nothing into the user's cache
    NullLogger log;
    TinyRun run(given, tiny_text(), make_backend(device_request(given), log));
    const std::uint64_t launches_before = simt::statistics().graph_launches;
    train(run);
    EXPECT_EQ(simt::statistics().graph_launches > launches_before, cuda_graph);
  }
}

TEST_F(TrainSim, AttentionByCudnnIsNotInTheSimulator) {
  EXPECT_THAT(
      test_support::user_error_of([] { static_cast<void>(make_cuda_backend({.attention = AttentionKernels::kCudnn})); }),
      testing::AllOf(testing::HasSubstr("built without cuDNN"), testing::HasSubstr("pip install nvidia-cudnn-frontend"),
                     testing::HasSubstr("-DVIRGIL_CUDNN=ON"), testing::HasSubstr("--attention virgil")));
}

TEST_F(TrainSim, AttentionAutoSaysWhyItIsNotCudnns) {
  const auto lines_of = [&](int compute_capability, const TrainConfig& given) {
    simt::set_device({.compute_capability = compute_capability});
    RecordingLogger log;
    const std::unique_ptr<Backend> backend = make_backend(device_request(given), log);
    EXPECT_THAT(backend->description(), testing::HasSubstr("attention by Virgil's kernels"));
    simt::set_device({});
    return log.lines();
  };
  TrainConfig given = config("auto", "bfloat16", 2);
  given.device = "cuda";
  given.cublaslt_tuning = false;
  given.dropout = 0;
  ASSERT_EQ(given.attention, "auto");
  EXPECT_THAT(lines_of(90, given),
              testing::ElementsAre(testing::AllOf(testing::HasSubstr("attention is auto, and by Virgil's kernels"),
                                                  testing::HasSubstr("this program was built without cuDNN"),
                                                  testing::HasSubstr("--attention virgil"))));
  // Nothing to say where cuDNN would not be taken.
  EXPECT_THAT(lines_of(80, given), testing::IsEmpty());
  TrainConfig with_dropout = given, in_float32 = given, insists = given;
  with_dropout.dropout = 0.1;
  in_float32.dtype = "float32";
  insists.attention = "virgil";
  for (const TrainConfig& other : {with_dropout, in_float32, insists}) EXPECT_THAT(lines_of(90, other), testing::IsEmpty());
}

TEST_F(TrainSim, TheDriverIsAskedForItsMemoryWhenItCanHaveChanged) {
  const std::unique_ptr<Backend> backend = make_cuda_backend({});
  const auto free_bytes = [&] { return backend->device_memory()->free_bytes; };
  const std::int64_t before = free_bytes();
  const std::uint64_t asked_before = simt::statistics().memory_questions;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(free_bytes(), before);
  EXPECT_LT(simt::statistics().memory_questions - asked_before, 50U);
  {
    const Buffer buffer(backend->memory(), 1 << 20, {MemoryCategory::kData, "test"});
    EXPECT_EQ(free_bytes(), before - (1 << 20));
  }
  EXPECT_EQ(free_bytes(), before);
}

// Tables that hold for every machine count the chunk of logits that a GPU takes.
TEST_F(TrainSim, PlansWithoutADeviceHaveItsChunkOfLogits) {
  const LogitsChunk planned = PlanningTraits().logits_chunk(), wanted = make_cuda_backend({})->traits().logits_chunk();
  EXPECT_EQ(planned.size_bytes, wanted.size_bytes);
  EXPECT_EQ(planned.row_multiple, wanted.row_multiple);
}

TEST_F(TrainSim, SamplesAndEvaluatesBetweenSteps) {
  TrainConfig given = config("run", "bfloat16", 2);
  given.eval_interval = 1;
  given.eval_iters = 1;
  given.sample_interval = 1;
  given.sample_tokens = 6;
  TinyRun run(given, tiny_text(), gpu());
  train(run);
  EXPECT_EQ(run.sink.evaluations.size(), 3U);
  EXPECT_EQ(run.sink.samples.size(), 2U);
}

TEST_F(TrainSim, EveryGenerationOfGpusLearns) {
  for (const int compute_capability : {75, 86, 90}) {
    for (const char* dtype : {"float32", "float16"}) {
      TinyRun run(config(dtype + std::to_string(compute_capability), dtype, 2), tiny_text(), gpu(compute_capability));
      train(run);
      EXPECT_LT(run.sink.steps.back().loss, 1.02 * run.sink.steps.front().loss) << compute_capability << " " << dtype;
    }
  }
}

}  // namespace
}  // namespace virgil
