#include "virgil/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <span>

#include "support/test_model.h"
#include "support/user_error.h"
#include "train/trainer_fixture.h"
#include "virgil/optim/non_finite.h"

namespace virgil {
namespace {

using test_support::TinyRun;
using test_support::user_error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class TrainerTest : public test_support::TrainerFixture {};

TEST_F(TrainerTest, BeginsAtTheLossOfAGuess) {
  TinyRun run(config());
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  const double guess = std::log(static_cast<double>(run.plan.model().vocab_size));
  EXPECT_NEAR(run.sink.steps.front().loss, guess, 0.02 * guess);
  EXPECT_NEAR(run.sink.evaluations.front().loss, guess, 0.02 * guess);
  EXPECT_LT(run.sink.evaluations.back().loss, run.sink.evaluations.front().loss);
}

TEST_F(TrainerTest, ReportsEveryStepWithItsFigures) {
  TinyRun run(config());
  ASSERT_EQ(run.train(), RunStatus::kFinished);
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
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  std::vector<std::int64_t> logged;
  for (const StepMetrics& step : run.sink.steps) {
    if (step.is_logged) logged.push_back(step.step);
  }
  EXPECT_THAT(logged, ElementsAre(0, 3, 6, 7));
}

TEST_F(TrainerTest, HoldsThePlannedBytesAndAllocatesNothingMore) {
  TinyRun run(config());
  const std::int64_t num_allocations = run.tracker.num_allocations();
  ASSERT_EQ(run.train(), RunStatus::kFinished);
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

TEST_F(TrainerTest, TrainsWithoutAHeldOutText) {
  TrainConfig config = this->config();
  config.val_fraction = 0;
  TinyRun run(config);
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  EXPECT_THAT(run.sink.evaluations, IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(run.folder() / "best"));
  EXPECT_EQ(run.trainer.state().best_step, -1);
  EXPECT_EQ(figures(run).size(), 9U);  // and the sample at the end
}

TEST_F(TrainerTest, SamplesBeyondTheContext) {
  TrainConfig config = this->config();
  config.sample_tokens = 100;  // block_size is 16
  config.sample_interval = 8;
  TinyRun run(config);
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  ASSERT_EQ(run.sink.samples.size(), 1U);
  EXPECT_GT(run.sink.samples[0].second.size(), 50U);
}

TEST_F(TrainerTest, SamplesWithinAContextOfOneToken) {
  TrainConfig config = this->config();
  config.block_size = 1;
  TinyRun run(config);
  EXPECT_EQ(run.train(), RunStatus::kFinished);
}

TEST_F(TrainerTest, SamplesOnlyIdsTheTokenizerKnows) {
  TrainConfig config = this->config();
  config.vocab_size = 512;  // the tokenizer has fewer, and an untrained model likes all equally
  config.sample_interval = 1;
  config.max_iters = config.lr_decay_iters = 4;
  TinyRun run(config);
  EXPECT_EQ(run.train(), RunStatus::kFinished);
}

TEST_F(TrainerTest, RefusesAnEmptySamplePromptBeforeTheFirstStep) {
  TrainConfig config = this->config();
  config.sample_prompt = "";
  EXPECT_THAT(user_error_of([&] { const TinyRun run(config); }), HasSubstr("sample_prompt"));
  config.sample_interval = 0;
  EXPECT_NO_THROW(const TinyRun run(config));
}

// --- Steps that are not finite ----------------------------------------------------------------------------------------------

TEST_F(TrainerTest, StopsAfterBadStepsInARowAndLeavesTheLastGoodCheckpoint) {
  TrainConfig config = this->config();
  config.save_interval = 1;
  config.keep_last = 1;
  config.max_bad_steps = 3;
  config.sample_interval = 0;
  TinyRun run(config);
  std::vector<float> spoilt;
  run.before_step = [&](TinyRun& tiny) {
    if (tiny.trainer.state().step == 3) {
      tiny.parameter(kSpoilt)[5] = std::numeric_limits<float>::quiet_NaN();
      spoilt = tiny.read(PlanSlot::kWeights);
    }
  };
  EXPECT_EQ(run.train(), RunStatus::kDiverged);
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
  run.before_step = [&](TinyRun& tiny) {
    const std::int64_t step = tiny.trainer.state().step;
    float& weight = tiny.parameter(kSpoilt)[5];
    if (step % 2 == 1) good = std::exchange(weight, std::numeric_limits<float>::infinity());
    if (step % 2 == 0 && step > 0) weight = good;
  };
  EXPECT_EQ(run.train(), RunStatus::kFinished) << "never two in a row";
  EXPECT_EQ(run.sink.warnings.size(), 4U);
}

TEST_F(TrainerTest, LeavesTheOptimizerAloneAtABadStep) {
  TrainConfig config = this->config();
  config.max_bad_steps = 1;
  TinyRun run(config);
  std::vector<float> first, second;
  run.before_step = [&](TinyRun& tiny) {
    if (tiny.trainer.state().step == 2) {
      tiny.parameter(kSpoilt)[0] = std::numeric_limits<float>::infinity();
      first = tiny.read(state_slot(0));
      second = tiny.read(state_slot(1));
    }
  };
  EXPECT_EQ(run.train(), RunStatus::kDiverged);
  test_support::expect_same_bits(run.plan.parameters(), first, run.read(state_slot(0)));
  test_support::expect_same_bits(run.plan.parameters(), second, run.read(state_slot(1)));
}

TEST_F(TrainerTest, NamesTheTensorThatIsNotFinite) {
  TinyRun run(config());
  run.trainer.initialize();
  run.backend->run(
      ops::SetZero{run.memory.view(PlanSlot::kGradients, 0, DType::kFloat32, {run.plan.parameters().flat_elements()})});
  EXPECT_EQ(find_non_finite_gradient(*run.backend, run.plan, run.memory), "");
  EXPECT_EQ(find_non_finite_weight(*run.backend, run.plan, run.memory), "");
  run.parameter("transformer.wpe.weight", PlanSlot::kGradients).back() = std::numeric_limits<float>::infinity();
  run.parameter("transformer.ln_f.weight").back() = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(find_non_finite_gradient(*run.backend, run.plan, run.memory), "transformer.wpe.weight");
  EXPECT_EQ(find_non_finite_weight(*run.backend, run.plan, run.memory), "transformer.ln_f.weight");
}

TEST_F(TrainerTest, NamesABFloat16WeightThatIsNotFinite) {
  TrainConfig given = bfloat16_config(/*master_weights=*/false);
  given.max_bad_steps = 1;
  TinyRun run(given);
  run.trainer.initialize();
  const ParameterSpec& spec = run.plan.parameters().find(kSpoilt);
  const std::vector<BFloat16> spoilt(1, BFloat16(std::numeric_limits<float>::quiet_NaN()));
  run.backend->copy_from_host(run.memory.view(PlanSlot::kWeights, spec.offset * 2, DType::kBFloat16, {1}),
                              std::as_bytes(std::span(spoilt)));
  EXPECT_EQ(run.trainer.run(), RunStatus::kDiverged);
  EXPECT_THAT(run.sink.warnings, testing::Contains(HasSubstr("the weight transformer.h.1.mlp.c_fc.weight is not finite")));
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
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  EXPECT_THAT(run.sink.warnings, testing::Contains(AllOf(HasSubstr("validation loss has risen"), HasSubstr("best"))));
  EXPECT_TRUE(std::filesystem::exists(run.folder() / "best"));
}

}  // namespace
}  // namespace virgil
