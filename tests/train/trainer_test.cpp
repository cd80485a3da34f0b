#include "virgil/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "support/half_backend.h"
#include "support/test_model.h"
#include "support/user_error.h"
#include "train/tiny_run.h"

namespace virgil {
namespace {

using test_support::read_all;
using test_support::tiny_config;
using test_support::tiny_text;
using test_support::TinyRun;
using test_support::user_error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class TrainerTest : public testing::Test {
 protected:
  [[nodiscard]] TrainConfig config(const std::string& name = "run") const {
    TrainConfig config = tiny_config(directory_.path());
    config.model_name = name;
    return config;
  }
  /// Figures of metrics.jsonl that must repeat: all but times and, unless asked for, memory.
  [[nodiscard]] static std::vector<nlohmann::json> figures(const TinyRun& run, bool with_memory = false) {
    std::vector<nlohmann::json> result;
    std::istringstream text(read_all(run.folder() / "metrics.jsonl"));
    for (std::string line; std::getline(text, line);) {
      nlohmann::json object = nlohmann::json::parse(line);
      for (const char* key : {"dt_ms", "tokens_per_s", "model_gflops", "mfu"}) object.erase(key);
      if (!with_memory) object.erase("mem");
      result.push_back(std::move(object));
    }
    return result;
  }
  /// As the run's last checkpoint has it.
  [[nodiscard]] static LossScalerState last_scaler(const TinyRun& run) {
    return load_checkpoint(run.folder() / run.checkpoints().back()).state.loss_scaler;
  }
  static void expect_same_state(const TinyRun& expected, const TinyRun& actual) {
    for (const PlanSlot slot : {PlanSlot::kWeights, expected.plan.master_slot(), PlanSlot::kAdamM, PlanSlot::kAdamV}) {
      EXPECT_TRUE(std::ranges::equal(expected.memory.bytes(slot), actual.memory.bytes(slot))) << static_cast<int>(slot);
    }
  }

  test_support::TemporaryDirectory directory_;
};

/// A run of 2N steps, and one that was stopped after `first` of them and went on in a new process's place.
class StoppedRun : public TrainerTest, public testing::WithParamInterface<std::int64_t> {
 protected:
  void check_goes_on(const std::string& dtype, const std::string& optimizer_state_dtype, bool master_weights = true);
};

void StoppedRun::check_goes_on(const std::string& dtype, const std::string& optimizer_state_dtype, bool master_weights) {
  SCOPED_TRACE(dtype + ", moments in " + optimizer_state_dtype);
  const auto config = [&](const std::string& name) {
    TrainConfig result = TrainerTest::config(name);
    result.model_name = name + dtype + optimizer_state_dtype;
    result.dtype = dtype;
    result.master_weights = master_weights;
    result.optimizer_state_dtype = optimizer_state_dtype;
    return result;
  };
  const auto backend = [&]() -> std::unique_ptr<Backend> {
    if (dtype != "float16") return nullptr;
    return std::make_unique<test_support::HalfBackend>(make_cpu_backend({.num_threads = 1}));
  };
  const std::int64_t first = GetParam();
  TinyRun whole(config("whole"), tiny_text(), backend());
  whole.trainer.initialize();
  ASSERT_EQ(whole.trainer.run(), RunStatus::kFinished);
  {
    TinyRun begun(config("stopped"), tiny_text(), backend());
    begun.stop_requested = [first](TinyRun& run) { return run.trainer.state().step == first; };
    begun.trainer.initialize();
    ASSERT_EQ(begun.trainer.run(), RunStatus::kInterrupted);
    EXPECT_THAT(begun.checkpoints(), ElementsAre(step_checkpoint_name(first)));
  }
  TinyRun resumed(config("stopped"), tiny_text(), backend());
  resumed.trainer.restore(load_checkpoint(resumed.folder() / step_checkpoint_name(first)));
  EXPECT_EQ(resumed.trainer.state().step, first);
  ASSERT_EQ(resumed.trainer.run(), RunStatus::kFinished);
  expect_same_state(whole, resumed);
  EXPECT_EQ(figures(whole), figures(resumed));
  EXPECT_EQ(whole.sink.samples.back(), resumed.sink.samples.back());
  EXPECT_EQ(whole.trainer.state().best_val_loss, resumed.trainer.state().best_val_loss);
  EXPECT_EQ(whole.trainer.state().tokens_seen, resumed.trainer.state().tokens_seen);
  EXPECT_EQ(last_scaler(whole), last_scaler(resumed));
}

TEST_P(StoppedRun, GoesOnBitForBit) {
  for (const char* dtype : {"float32", "bfloat16", "float16"}) {
    for (const char* moments : {"float32", "bfloat16"}) check_goes_on(dtype, moments);
  }
}

TEST_P(StoppedRun, GoesOnBitForBitWithoutMasterWeights) {
  for (const char* moments : {"float32", "bfloat16"}) check_goes_on("bfloat16", moments, false);
}

// 0: before the first step; 3: at an evaluation, whose figures belong to the step that follows; 4: at a sample; 7: the last.
INSTANTIATE_TEST_SUITE_P(After, StoppedRun, testing::Values(0, 3, 4, 7), testing::PrintToStringParamName());

TEST_F(TrainerTest, TwoRunsOfOneSeedGiveTheSameBitsAndAnotherSeedOthers) {
  TinyRun one(config("one")), two(config("two"));
  TrainConfig other_config = config("other");
  other_config.seed = 7;
  TinyRun other(other_config);
  for (TinyRun* run : {&one, &two, &other}) {
    run->trainer.initialize();
    ASSERT_EQ(run->trainer.run(), RunStatus::kFinished);
  }
  expect_same_state(one, two);
  EXPECT_EQ(figures(one), figures(two));
  EXPECT_NE(figures(one), figures(other));
}

TEST_F(TrainerTest, RefusesMomentsOfAnotherType) {
  for (const auto& [saved, wanted] : {std::pair("float32", "bfloat16"), std::pair("bfloat16", "float32")}) {
    TrainConfig given = config(saved);
    given.optimizer_state_dtype = saved;
    TinyRun begun(given);
    begun.trainer.initialize();
    ASSERT_EQ(begun.trainer.run(), RunStatus::kFinished);
    given.optimizer_state_dtype = wanted;
    TinyRun resumed(given);
    const LoadedCheckpoint checkpoint = load_checkpoint(begun.folder() / begun.checkpoints().back());
    EXPECT_THAT(user_error_of([&] { resumed.trainer.restore(checkpoint); }),
                HasSubstr(fmt::format("resume with --optimizer_state_dtype {}", saved)));
  }
}

/// Weights of a run as float32, from its own type.
std::vector<float> weights_of(TinyRun& run) {
  std::vector<float> values(static_cast<std::size_t>(run.plan.parameters().flat_elements()));
  copy_floats_to_host(
      *run.backend, values,
      run.memory.view(run.plan.master_slot(), 0, run.plan.master_dtype(), {run.plan.parameters().flat_elements()}));
  return values;
}

TEST_F(TrainerTest, WithoutMasterWeightsACheckpointIsStillFloat32AndHoldsEveryBit) {
  TrainConfig given = config();
  given.dtype = "bfloat16";
  given.master_weights = false;
  TinyRun run(given);
  run.trainer.initialize();
  ASSERT_EQ(run.trainer.run(), RunStatus::kFinished);
  EXPECT_EQ(run.tracker.current(), run.plan.by_category());
  EXPECT_EQ(run.tracker.current()[MemoryCategory::kMasterWeights], 0);
  EXPECT_LT(run.sink.evaluations.back().loss, run.sink.evaluations.front().loss);
  const LoadedCheckpoint checkpoint = load_checkpoint(run.folder() / run.checkpoints().back());
  const std::vector<float> weights = weights_of(run);
  for (const ParameterSpec& spec : run.plan.parameters().parameters()) {
    const SafetensorsFile::Entry* entry = checkpoint.parameters.find(spec.name);
    ASSERT_NE(entry, nullptr) << spec.name;
    EXPECT_EQ(entry->dtype_name, "F32") << spec.name;
    EXPECT_EQ(std::memcmp(entry->bytes.data(), weights.data() + spec.offset, entry->bytes.size()), 0) << spec.name;
  }
}

TEST_F(TrainerTest, GoesOnWithoutTheMasterWeightsThatACheckpointWasSavedFrom) {
  TrainConfig given = config();
  given.dtype = "bfloat16";
  TinyRun begun(given);
  begun.trainer.initialize();
  ASSERT_EQ(begun.trainer.run(), RunStatus::kFinished);
  given.master_weights = false;
  given.max_iters = 12;
  TinyRun resumed(given);
  resumed.trainer.restore(load_checkpoint(begun.folder() / begun.checkpoints().back()));
  std::vector<float> rounded = weights_of(begun);
  for (float& value : rounded) value = static_cast<float>(BFloat16(value));
  test_support::expect_same_bits(resumed.plan.parameters(), rounded, weights_of(resumed));
  EXPECT_THAT(resumed.sink.warnings, testing::Contains(HasSubstr("are rounded to bfloat16, as master_weights is false")));
  ASSERT_EQ(resumed.trainer.run(), RunStatus::kFinished);
}

TEST_F(TrainerTest, GoesOnWithMasterWeightsThatACheckpointWasSavedWithout) {
  TrainConfig given = config();
  given.dtype = "bfloat16";
  given.master_weights = false;
  TinyRun begun(given);
  begun.trainer.initialize();
  ASSERT_EQ(begun.trainer.run(), RunStatus::kFinished);
  given.master_weights = true;
  given.max_iters = 12;
  TinyRun resumed(given);
  resumed.trainer.restore(load_checkpoint(begun.folder() / begun.checkpoints().back()));
  test_support::expect_same_bits(resumed.plan.parameters(), weights_of(begun), weights_of(resumed));
  EXPECT_THAT(resumed.sink.warnings, IsEmpty());
  ASSERT_EQ(resumed.trainer.run(), RunStatus::kFinished);
}

TEST_F(TrainerTest, NamesABFloat16WeightThatIsNotFinite) {
  TrainConfig given = config();
  given.dtype = "bfloat16";
  given.master_weights = false;
  given.max_bad_steps = 1;
  TinyRun run(given);
  run.trainer.initialize();
  const ParameterSpec& spec = run.plan.parameters().find("transformer.h.1.mlp.c_fc.weight");
  const std::vector<BFloat16> spoilt(1, BFloat16(std::numeric_limits<float>::quiet_NaN()));
  run.backend->copy_from_host(run.memory.view(PlanSlot::kWeights, spec.offset * 2, DType::kBFloat16, {1}),
                              std::as_bytes(std::span(spoilt)));
  EXPECT_EQ(run.trainer.run(), RunStatus::kDiverged);
  EXPECT_THAT(run.sink.warnings, testing::Contains(HasSubstr("the weight transformer.h.1.mlp.c_fc.weight is not finite")));
}

TEST_F(TrainerTest, BeginsAtTheLossOfAGuess) {
  TinyRun run(config());
  run.trainer.initialize();
  ASSERT_EQ(run.trainer.run(), RunStatus::kFinished);
  const double guess = std::log(static_cast<double>(run.plan.model().vocab_size()));
  EXPECT_NEAR(run.sink.steps.front().loss, guess, 0.02 * guess);
  EXPECT_NEAR(run.sink.evaluations.front().loss, guess, 0.02 * guess);
  EXPECT_LT(run.sink.evaluations.back().loss, run.sink.evaluations.front().loss);
}

TEST_F(TrainerTest, ReportsEveryStepWithItsFigures) {
  TinyRun run(config());
  run.trainer.initialize();
  ASSERT_EQ(run.trainer.run(), RunStatus::kFinished);
  ASSERT_EQ(run.sink.steps.size(), 8U);
  for (std::size_t i = 0; i < 8; ++i) {
    const StepMetrics& step = run.sink.steps[i];
    const auto number = static_cast<std::int64_t>(i);
    EXPECT_EQ(step.step, number);
    EXPECT_EQ(step.tokens, (number + 1) * 2 * 2 * 16);
    EXPECT_TRUE(step.updated);
    EXPECT_TRUE(std::isfinite(step.loss) && step.grad_norm > 0 && step.learning_rate > 0 && step.tokens_per_s > 0);
    EXPECT_EQ(step.evaluation.has_value(), i == 0 || i == 3 || i == 6);
  }
  std::vector<std::int64_t> evaluated, sampled;
  for (const EvalMetrics& evaluation : run.sink.evaluations) evaluated.push_back(evaluation.step);
  for (const auto& [step, text] : run.sink.samples) sampled.push_back(step);
  EXPECT_THAT(evaluated, ElementsAre(0, 3, 6, 8));
  EXPECT_THAT(sampled, ElementsAre(2, 4, 6, 8));
}

TEST_F(TrainerTest, LogsWhatTheIntervalAsksForAndTheLastStep) {
  TrainConfig config = this->config();
  config.log_interval = 3;
  TinyRun run(config);
  run.trainer.initialize();
  ASSERT_EQ(run.trainer.run(), RunStatus::kFinished);
  std::vector<std::int64_t> logged;
  for (const StepMetrics& step : run.sink.steps) {
    if (step.is_logged) logged.push_back(step.step);
  }
  EXPECT_THAT(logged, ElementsAre(0, 3, 6, 7));
}

TEST_F(TrainerTest, HoldsThePlannedBytesAndAllocatesNothingMore) {
  TinyRun run(config());
  const std::int64_t num_allocations = run.tracker.num_allocations();
  run.trainer.initialize();
  ASSERT_EQ(run.trainer.run(), RunStatus::kFinished);
  EXPECT_EQ(run.tracker.num_allocations(), num_allocations);
  EXPECT_EQ(run.tracker.current(), run.plan.by_category());
  EXPECT_EQ(run.tracker.peak_bytes(), run.plan.total_bytes());
  for (const StepMetrics& step : run.sink.steps) {
    EXPECT_EQ(step.memory.planned_bytes, run.plan.total_bytes());
    EXPECT_EQ(step.memory.allocated_bytes, run.plan.total_bytes());
    EXPECT_EQ(step.memory.peak_bytes, run.plan.total_bytes());
    EXPECT_EQ(step.memory.by_category, run.plan.by_category());
    EXPECT_GT(step.memory.process_rss_bytes, 0);
  }
}

TEST_F(TrainerTest, KeepsTheNewestCheckpointsAndTheBest) {
  TrainConfig config = this->config();
  config.save_interval = 2;
  config.keep_last = 2;
  TinyRun run(config);
  run.trainer.initialize();
  ASSERT_EQ(run.trainer.run(), RunStatus::kFinished);
  EXPECT_THAT(run.checkpoints(), ElementsAre("step-00000006", "step-00000008"));
  const LoadedCheckpoint best = load_checkpoint(run.folder() / "best");
  EXPECT_EQ(best.state.step, run.trainer.state().best_step);
  EXPECT_EQ(best.state.best_val_loss, run.trainer.state().best_val_loss);
}

TEST_F(TrainerTest, KeepsAllCheckpointsWhenToldTo) {
  TrainConfig config = this->config();
  config.save_interval = 3;
  config.keep_last = 0;
  TinyRun run(config);
  run.trainer.initialize();
  ASSERT_EQ(run.trainer.run(), RunStatus::kFinished);
  EXPECT_THAT(run.checkpoints(), ElementsAre("step-00000003", "step-00000006", "step-00000008"));
}

TEST_F(TrainerTest, TrainsWithoutAHeldOutText) {
  TrainConfig config = this->config();
  config.val_fraction = 0;
  TinyRun run(config);
  run.trainer.initialize();
  ASSERT_EQ(run.trainer.run(), RunStatus::kFinished);
  EXPECT_THAT(run.sink.evaluations, IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(run.folder() / "best"));
  EXPECT_EQ(run.trainer.state().best_step, -1);
  EXPECT_EQ(figures(run).size(), 8U);
}

TEST_F(TrainerTest, SamplesBeyondTheContext) {
  TrainConfig config = this->config();
  config.sample_tokens = 100;  // block_size is 16
  config.sample_interval = 8;
  TinyRun run(config);
  run.trainer.initialize();
  ASSERT_EQ(run.trainer.run(), RunStatus::kFinished);
  ASSERT_EQ(run.sink.samples.size(), 1U);
  EXPECT_GT(run.sink.samples[0].second.size(), 50U);
}

TEST_F(TrainerTest, SamplesWithinAContextOfOneToken) {
  TrainConfig config = this->config();
  config.block_size = 1;
  TinyRun run(config);
  run.trainer.initialize();
  EXPECT_EQ(run.trainer.run(), RunStatus::kFinished);
}

TEST_F(TrainerTest, SamplesOnlyIdsTheTokenizerKnows) {
  TrainConfig config = this->config();
  config.vocab_size = 512;  // the tokenizer has fewer, and an untrained model likes all equally
  config.sample_interval = 1;
  config.max_iters = config.lr_decay_iters = 4;
  TinyRun run(config);
  run.trainer.initialize();
  EXPECT_EQ(run.trainer.run(), RunStatus::kFinished);
}

TEST_F(TrainerTest, RefusesAnEmptySamplePromptBeforeTheFirstStep) {
  TrainConfig config = this->config();
  config.sample_prompt = "";
  EXPECT_THAT(user_error_of([&] { const TinyRun run(config); }), HasSubstr("sample_prompt"));
  config.sample_interval = 0;
  EXPECT_NO_THROW(const TinyRun run(config));
}

// --- Steps that are not finite ----------------------------------------------------------------------------------------------

constexpr const char* kSpoilt = "transformer.h.1.mlp.c_fc.weight";

TEST_F(TrainerTest, StopsAfterBadStepsInARowAndLeavesTheLastGoodCheckpoint) {
  TrainConfig config = this->config();
  config.save_interval = 1;
  config.keep_last = 1;
  config.max_bad_steps = 3;
  config.sample_interval = 0;
  TinyRun run(config);
  std::vector<float> spoilt;
  run.stop_requested = [&](TinyRun& tiny) {
    if (tiny.trainer.state().step == 3) {
      tiny.parameter(kSpoilt)[5] = std::numeric_limits<float>::quiet_NaN();
      spoilt = tiny.read(PlanSlot::kWeights);
    }
    return false;
  };
  run.trainer.initialize();
  EXPECT_EQ(run.trainer.run(), RunStatus::kDiverged);
  EXPECT_EQ(run.trainer.state().step, 6);
  test_support::expect_same_bits(run.plan.parameters(), spoilt, run.read(PlanSlot::kWeights));
  EXPECT_THAT(run.checkpoints(), ElementsAre("step-00000003"));
  EXPECT_THAT(run.sink.warnings,
              ElementsAre(AllOf(HasSubstr("step 3"), HasSubstr(kSpoilt), HasSubstr("not applied"), HasSubstr("1 in a row")),
                          AllOf(HasSubstr("step 4"), HasSubstr("2 in a row")),
                          AllOf(HasSubstr("step 5"), HasSubstr("3 in a row"), HasSubstr("stops at 3"))));
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(run.sink.steps[i].updated, i < 3);
  EXPECT_EQ(figures(run)[4]["loss"], "nan");
  // What stands was saved before the fault.
  const LoadedCheckpoint good = load_checkpoint(run.folder() / "step-00000003");
  TinyRun again(config);
  again.trainer.restore(good);
  EXPECT_EQ(again.trainer.run(), RunStatus::kFinished);
}

TEST_F(TrainerTest, GoesOnWhenABadStepPasses) {
  TrainConfig config = this->config();
  config.sample_interval = 0;
  config.max_bad_steps = 2;
  TinyRun run(config);
  float good = 0;
  run.stop_requested = [&](TinyRun& tiny) {
    const std::int64_t step = tiny.trainer.state().step;
    float& weight = tiny.parameter(kSpoilt)[5];
    if (step % 2 == 1) good = std::exchange(weight, std::numeric_limits<float>::infinity());
    if (step % 2 == 0 && step > 0) weight = good;
    return false;
  };
  run.trainer.initialize();
  EXPECT_EQ(run.trainer.run(), RunStatus::kFinished) << "never two in a row";
  EXPECT_EQ(run.sink.warnings.size(), 4U);
}

TEST_F(TrainerTest, LeavesTheOptimizerAloneAtABadStep) {
  TrainConfig config = this->config();
  config.max_bad_steps = 1;
  TinyRun run(config);
  std::vector<float> first, second;
  run.stop_requested = [&](TinyRun& tiny) {
    if (tiny.trainer.state().step == 2) {
      tiny.parameter(kSpoilt)[0] = std::numeric_limits<float>::infinity();
      first = tiny.read(PlanSlot::kAdamM);
      second = tiny.read(PlanSlot::kAdamV);
    }
    return false;
  };
  run.trainer.initialize();
  EXPECT_EQ(run.trainer.run(), RunStatus::kDiverged);
  test_support::expect_same_bits(run.plan.parameters(), first, run.read(PlanSlot::kAdamM));
  test_support::expect_same_bits(run.plan.parameters(), second, run.read(PlanSlot::kAdamV));
}

TEST_F(TrainerTest, NamesTheTensorThatIsNotFinite) {
  TinyRun run(config());
  run.trainer.initialize();
  run.backend->set_zero(run.memory.view(PlanSlot::kGradients, 0, DType::kFloat32, {run.plan.parameters().flat_elements()}));
  EXPECT_EQ(find_non_finite_gradient(*run.backend, run.plan, run.memory), "");
  EXPECT_EQ(find_non_finite_weight(*run.backend, run.plan, run.memory), "");
  run.parameter("transformer.wpe.weight", PlanSlot::kGradients).back() = std::numeric_limits<float>::infinity();
  run.parameter("transformer.ln_f.weight").back() = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(find_non_finite_gradient(*run.backend, run.plan, run.memory), "transformer.wpe.weight");
  EXPECT_EQ(find_non_finite_weight(*run.backend, run.plan, run.memory), "transformer.ln_f.weight");
}

// --- float16 and its loss scale ----------------------------------------------------------------------------------------------

class HalfRun : public TrainerTest {
 protected:
  [[nodiscard]] TrainConfig half_config(const std::string& name = "run") const {
    TrainConfig result = config(name);
    result.dtype = "float16";
    result.sample_interval = 0;
    result.max_bad_steps = 1;
    return result;
  }
  static std::unique_ptr<test_support::HalfBackend> half_backend() {
    return std::make_unique<test_support::HalfBackend>(make_cpu_backend({.num_threads = 1}));
  }
  /// Scales of the steps, and whether each was applied.
  static std::vector<std::pair<double, bool>> scales(const TinyRun& run) {
    std::vector<std::pair<double, bool>> result;
    for (const StepMetrics& step : run.sink.steps) result.emplace_back(step.loss_scale, step.updated);
    return result;
  }
  /// A run that goes on at step 1 with another loss scale.
  void restore_with(TinyRun& run, const LossScalerState& scaler) {
    TrainConfig first = half_config("first");
    first.save_interval = 1;
    first.keep_last = 0;
    TinyRun begun(first, tiny_text(), half_backend());
    begun.stop_requested = [](TinyRun& tiny) { return tiny.trainer.state().step == 1; };
    begun.trainer.initialize();
    ASSERT_EQ(begun.trainer.run(), RunStatus::kInterrupted);
    LoadedCheckpoint checkpoint = load_checkpoint(begun.folder() / "step-00000001");
    checkpoint.state.loss_scaler = scaler;
    run.trainer.restore(checkpoint);
  }
};

TEST_F(HalfRun, LearnsAsInFloat32) {
  TrainConfig given = half_config("half");
  given.dropout = 0;
  TinyRun half(given, tiny_text(), half_backend());
  given.dtype = "float32";
  given.model_name = "single";
  TinyRun single(given);
  for (TinyRun* run : {&half, &single}) {
    run->trainer.initialize();
    ASSERT_EQ(run->trainer.run(), RunStatus::kFinished);
  }
  EXPECT_EQ(half.plan.by_category()[MemoryCategory::kMasterWeights], single.plan.by_category()[MemoryCategory::kWeights]);
  // The same weights but for their rounding to 11 bits: each of the forward pass's roundings is 2^13 times float32's.
  const StepShape& shape = half.plan.step();
  const double gamma =
      test_support::probable_gamma(test_support::forward_path_length(half.plan.model(), shape.length)) * 0x1.0p13;
  EXPECT_NEAR(half.sink.steps[0].loss, single.sink.steps[0].loss, gamma * single.sink.steps[0].loss);
  EXPECT_NEAR(half.sink.steps[0].grad_norm, single.sink.steps[0].grad_norm, 0.01 * single.sink.steps[0].grad_norm)
      << "the norm is that of the loss itself, whatever its scale";
  EXPECT_LT(half.sink.steps.back().loss, half.sink.steps.front().loss);
  EXPECT_EQ(single.sink.steps.front().loss_scale, 0);
  EXPECT_EQ(last_scaler(half), (LossScalerState{65536, 8}));
  EXPECT_EQ(last_scaler(single), LossScalerState{});
}

TEST_F(HalfRun, HalvesAScaleThatOverflowsUntilTheGradientsFit) {
  TinyRun run(half_config(), tiny_text(), half_backend());
  restore_with(run, {.scale = 0x1p24, .good_steps = 7});
  const std::vector<float> before = run.read(PlanSlot::kMasterWeights);
  std::vector<float> after_first;
  run.stop_requested = [&](TinyRun& tiny) {
    if (tiny.trainer.state().step == 2) after_first = tiny.read(PlanSlot::kMasterWeights);
    return false;
  };
  EXPECT_EQ(run.trainer.run(), RunStatus::kFinished) << "no step of these counts as bad";
  // (softmax - onehot) 2^24 / 64 tokens is above 65504 where softmax is not 1/4 and above: at every target of a new model.
  EXPECT_EQ(scales(run).front(), std::pair(0x1p24, false));
  test_support::expect_same_bits(run.plan.parameters(), before, after_first);
  double scale = 0x1p24;
  for (const auto& [step_scale, updated] : scales(run)) {
    EXPECT_EQ(step_scale, scale);
    if (!updated) scale /= 2;
  }
  EXPECT_TRUE(scales(run).back().second);
  EXPECT_EQ(last_scaler(run).scale, scale);
  EXPECT_THAT(run.sink.lines, testing::Contains(AllOf(HasSubstr("step 1"), HasSubstr("16777216"), HasSubstr("halved"))));
  EXPECT_THAT(run.sink.warnings, IsEmpty());
  EXPECT_EQ(figures(run)[0]["loss_scale"], 0x1p24);
}

TEST_F(HalfRun, StopsWhenGradientsOverflowAtTheLeastScale) {
  auto backend = half_backend();
  backend->overflows = true;
  TinyRun run(half_config(), tiny_text(), std::move(backend));
  restore_with(run, {.scale = 4, .good_steps = 0});
  EXPECT_EQ(run.trainer.run(), RunStatus::kDiverged);
  EXPECT_THAT(scales(run), ElementsAre(std::pair(4.0, false), std::pair(2.0, false), std::pair(1.0, false)));
  EXPECT_THAT(run.sink.warnings, ElementsAre(HasSubstr("step 3")));
}

TEST_F(HalfRun, TakesALossThatIsNotFiniteForNoMatterOfTheScale) {
  TinyRun run(half_config(), tiny_text(), half_backend());
  run.trainer.initialize();
  const ParameterSpec& spec = run.plan.parameters().find(kSpoilt);
  const TensorView weights = run.memory.view(PlanSlot::kWeights, 0, DType::kFloat16, {run.plan.parameters().flat_elements()});
  weights.as<Float16>()[spec.offset] = Float16(std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(run.trainer.run(), RunStatus::kDiverged);
  EXPECT_THAT(scales(run), ElementsAre(std::pair(65536.0, false)));
}

TEST_F(HalfRun, TakesUpACheckpointOfAnotherTypeWithANewScale) {
  TrainConfig given = half_config("single");
  given.dtype = "float32";
  TinyRun single(given);
  single.trainer.initialize();
  ASSERT_EQ(single.trainer.run(), RunStatus::kFinished);
  given = half_config("half");
  given.max_iters = 9;
  TinyRun half(given, tiny_text(), half_backend());
  half.trainer.restore(load_checkpoint(single.folder() / "step-00000008"));
  ASSERT_EQ(half.trainer.run(), RunStatus::kFinished);
  EXPECT_EQ(last_scaler(half), (LossScalerState{65536, 1}));
}

TEST_F(HalfRun, TellsOfTheDevicesMemoryAtEveryStep) {
  auto backend = half_backend();
  backend->device = {.total_bytes = 9000, .free_bytes = 2000, .context_bytes = 300};
  TinyRun run(half_config(), tiny_text(), std::move(backend));
  run.trainer.initialize();
  ASSERT_EQ(run.trainer.run(), RunStatus::kFinished);
  for (const auto& line : figures(run, true)) {
    if (line.contains("loss")) {
      EXPECT_EQ(line["mem"]["device_used"], 7000);
    }
  }
}

// --- Resuming what does not fit ---------------------------------------------------------------------------------------------

TEST_F(TrainerTest, RefusesToGoOnWithOtherData) {
  TinyRun run(config());
  run.trainer.initialize();
  ASSERT_EQ(run.trainer.run(), RunStatus::kFinished);
  TrainConfig other = config("other");
  other.input = {(directory_.path() / "other.txt").string()};
  TinyRun second(other, tiny_text(6000, 2));
  EXPECT_THAT(user_error_of([&] { second.trainer.restore(load_checkpoint(run.folder() / "step-00000008")); }),
              AllOf(HasSubstr("step-00000008"), HasSubstr("other.txt"), HasSubstr("other data")));
}

TEST_F(TrainerTest, RefusesToGoOnWithAnotherShape) {
  TinyRun run(config());
  run.trainer.initialize();
  ASSERT_EQ(run.trainer.run(), RunStatus::kFinished);
  TrainConfig wider = config("wider");
  wider.n_embd = 48;
  TinyRun second(wider);
  EXPECT_THAT(user_error_of([&] { second.trainer.restore(load_checkpoint(run.folder() / "step-00000008")); }),
              AllOf(HasSubstr("transformer.wte.weight"), HasSubstr("48")));
}

TEST_F(TrainerTest, RefusesToGoOnWithoutAnOptimizer) {
  TinyRun run(config());
  run.trainer.initialize();
  ASSERT_EQ(run.trainer.run(), RunStatus::kFinished);
  LoadedCheckpoint checkpoint = load_checkpoint(run.folder() / "step-00000008");
  checkpoint.optimizer.reset();
  EXPECT_THAT(user_error_of([&] { run.trainer.restore(checkpoint); }), HasSubstr("no optimizer state"));
}

// --- What it says of how learning goes --------------------------------------------------------------------------------------

TEST_F(TrainerTest, WarnsWhenTheValidationLossKeepsRising) {
  TrainConfig config = this->config();
  config.val_input = {(directory_.path() / "val.txt").string()};
  // After each character the held-out text brings the one that never follows in the training text.
  std::string text, reversed;
  for (int i = 0; i < 500; ++i) text += "bac";
  for (int i = 0; i < 130; ++i) reversed += "bca";
  test_support::write_all(config.val_input.front(), reversed);
  config.dropout = 0;
  config.sample_interval = 0;
  config.eval_interval = 10;
  config.max_iters = config.lr_decay_iters = 60;
  config.learning_rate = 3e-3;
  TinyRun run(config, text);
  run.trainer.initialize();
  ASSERT_EQ(run.trainer.run(), RunStatus::kFinished);
  EXPECT_THAT(run.sink.warnings, testing::Contains(AllOf(HasSubstr("validation loss has risen"), HasSubstr("best"))));
  EXPECT_TRUE(std::filesystem::exists(run.folder() / "best"));
}

}  // namespace
}  // namespace virgil
