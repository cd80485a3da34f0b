// Training in float16 with a scaled loss.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "support/test_model.h"
#include "train/trainer_fixture.h"

namespace virgil {
namespace {

using test_support::tiny_text;
using test_support::TinyRun;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class HalfRun : public test_support::TrainerFixture {
 protected:
  [[nodiscard]] TrainConfig half_config(const std::string& name = "run") const {
    TrainConfig result = config(name);
    result.dtype = "float16";
    result.sample_interval = 0;
    result.max_bad_steps = 1;
    return result;
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
    ASSERT_EQ(begun.train(), RunStatus::kInterrupted);
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
  for (TinyRun* run : {&half, &single}) ASSERT_EQ(run->train(), RunStatus::kFinished);
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
  run.before_step = [&](TinyRun& tiny) {
    if (tiny.trainer.state().step == 2) after_first = tiny.read(PlanSlot::kMasterWeights);
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
  ASSERT_EQ(single.train(), RunStatus::kFinished);
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
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  for (const auto& line : figures(run, true)) {
    if (line.contains("loss")) {
      EXPECT_EQ(line["mem"]["device_used"], 7000);
    }
  }
}

}  // namespace
}  // namespace virgil
