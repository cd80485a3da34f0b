// What a run keeps and takes up again: checkpoints, and runs that go on bit for bit.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "support/test_model.h"
#include "support/user_error.h"
#include "train/trainer_fixture.h"

namespace virgil {
namespace {

using test_support::tiny_text;
using test_support::TinyRun;
using test_support::user_error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class TrainerState : public test_support::TrainerFixture {};

void expect_same_state(const TinyRun& expected, const TinyRun& actual) {
  std::vector<PlanSlot> slots = {PlanSlot::kWeights, expected.plan.master_slot()};
  for (const PlannedState& state : expected.plan.states()) slots.push_back(state.slot);
  for (const PlanSlot slot : slots) {
    EXPECT_TRUE(std::ranges::equal(expected.memory.bytes(slot), actual.memory.bytes(slot))) << static_cast<int>(slot);
  }
}

/// A run of 2N steps, and one that was stopped after `first` of them and went on in a new process's place.
class StoppedRun : public test_support::TrainerFixture, public testing::WithParamInterface<std::int64_t> {
 protected:
  void check_goes_on(const std::string& dtype, const std::string& optimizer_state_dtype, bool master_weights = true,
                     const std::function<void(TrainConfig&)>& adjust = nullptr);
};

void StoppedRun::check_goes_on(const std::string& dtype, const std::string& optimizer_state_dtype, bool master_weights,
                               const std::function<void(TrainConfig&)>& adjust) {
  SCOPED_TRACE(dtype + ", moments in " + optimizer_state_dtype);
  const auto config = [&](const std::string& name) {
    TrainConfig result = TrainerFixture::config(name);
    result.dtype = dtype;
    result.master_weights = master_weights;
    result.optimizer_state_dtype = optimizer_state_dtype;
    if (adjust) adjust(result);
    result.model_name = name + dtype + optimizer_state_dtype + result.optimizer;
    return result;
  };
  const auto backend = [&] { return dtype == "float16" ? half_backend() : nullptr; };
  const std::int64_t first = GetParam();
  TinyRun whole(config("whole"), tiny_text(), backend());
  ASSERT_EQ(whole.train(), RunStatus::kFinished);
  {
    TinyRun begun(config("stopped"), tiny_text(), backend());
    begun.stop_requested = [first](TinyRun& run) { return run.trainer.state().step == first; };
    ASSERT_EQ(begun.train(), RunStatus::kInterrupted);
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

TEST_P(StoppedRun, GoesOnBitForBitWithMuon) {
  const auto with_muon = [](TrainConfig& config) { config.optimizer = "muon"; };
  for (const char* dtype : {"float32", "bfloat16"}) check_goes_on(dtype, "float32", true, with_muon);
  check_goes_on("bfloat16", "float32", true, [](TrainConfig& config) { config.optimizer = "normuon"; });
}

TEST_P(StoppedRun, GoesOnBitForBitWithConvolutions) {
  check_goes_on("bfloat16", "float32", true, [](TrainConfig& config) {
    config.conv_taps = 3;
    config.optimizer = "muon";
    config.recompute = "block";
  });
}

TEST_P(StoppedRun, GoesOnBitForBitWithGroupsOfItsOwn) {
  const std::vector<std::string> groups = {"*.wte.weight lr_factor=0.25", "*.attn.* optimizer=normuon",
                                           "*.mlp.* decay_factor=0"};
  check_goes_on("bfloat16", "float32", true, [&](TrainConfig& config) { config.param_groups = groups; });
}

// 1: after the first step; 3: in an evaluation; 4: in a sample; 7: the last.
INSTANTIATE_TEST_SUITE_P(After, StoppedRun, testing::Values(1, 3, 4, 7), testing::PrintToStringParamName());

TEST_F(TrainerState, AnotherOptimizerIsRefusedByName) {
  TinyRun run(config());
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  const LoadedCheckpoint checkpoint = load_checkpoint(run.folder() / run.checkpoints().back());
  for (const char* optimizer : {"muon", "normuon"}) {
    TrainConfig other = config();
    other.optimizer = optimizer;
    TinyRun resumed(other);
    EXPECT_THAT(user_error_of([&] { resumed.trainer.restore(checkpoint); }),
                AllOf(HasSubstr("its optimizer is adamw"), HasSubstr("--optimizer adamw"), HasSubstr("--init_from")));
  }
}

TEST_F(TrainerState, AnotherMuonIsRefusedByName) {
  TrainConfig given = config();
  given.optimizer = "normuon";
  TinyRun run(given);
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  const LoadedCheckpoint checkpoint = load_checkpoint(run.folder() / run.checkpoints().back());
  given.optimizer = "muon";
  TinyRun resumed(given);
  EXPECT_THAT(user_error_of([&] { resumed.trainer.restore(checkpoint); }), HasSubstr("resume with --optimizer normuon"));
}

TEST_F(TrainerState, AnotherOptimizerOfAGroupIsRefusedByItsParameter) {
  TrainConfig given = config();
  given.param_groups = {"*.attn.* optimizer=muon"};
  TinyRun run(given);
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  const LoadedCheckpoint checkpoint = load_checkpoint(run.folder() / run.checkpoints().back());
  given.param_groups = {"*.mlp.* lr_factor=0.5"};
  TinyRun resumed(given);
  EXPECT_THAT(user_error_of([&] { resumed.trainer.restore(checkpoint); }),
              AllOf(HasSubstr("attn.c_attn.weight is muon"), HasSubstr("makes it adamw"),
                    HasSubstr("resume with --param_groups '*.attn.* optimizer=muon'")));
}

TEST_F(TrainerState, AGroupHasItsShareOfTheRate) {
  TrainConfig given = config();
  given.max_iters = given.lr_decay_iters = 2;
  given.warmup_iters = 0;
  given.param_groups = {"*.wte.weight lr_factor=0"};
  TinyRun run(given);
  run.trainer.initialize();
  const auto embedding = run.parameter("transformer.wte.weight");
  const auto other = run.parameter("transformer.wpe.weight");
  const std::vector<float> before(embedding.begin(), embedding.end());
  const std::vector<float> other_before(other.begin(), other.end());
  ASSERT_EQ(run.trainer.run(), RunStatus::kFinished);
  EXPECT_TRUE(std::ranges::equal(before, embedding));
  EXPECT_FALSE(std::ranges::equal(other_before, other));
}

// Within evaluations, samples and steps, between them, and in the last evaluation.
TEST_F(TrainerState, GoesOnBitForBitWhereverItIsStopped) {
  TrainConfig given = config("whole");
  given.sample_tokens = 2;
  given.max_iters = given.lr_decay_iters = 4;
  given.eval_interval = 2;
  TinyRun whole(given);
  std::int64_t num_questions = 0;
  whole.stop_requested = [&](TinyRun&) { return ++num_questions < 0; };
  ASSERT_EQ(whole.train(), RunStatus::kFinished);
  ASSERT_GT(num_questions, 15);
  for (std::int64_t stop_at = 1; stop_at <= num_questions; ++stop_at) {
    given.model_name = fmt::format("stopped{}", stop_at);
    TinyRun begun(given);
    std::int64_t question = 0;
    begun.stop_requested = [&](TinyRun&) { return ++question >= stop_at; };
    const RunStatus status = begun.train();
    if (status == RunStatus::kFinished) {
      EXPECT_EQ(begun.trainer.state().step, given.max_iters) << "the last sample alone may be cut short";
      continue;
    }
    ASSERT_EQ(status, RunStatus::kInterrupted);
    const std::int64_t step = begun.trainer.state().step;
    if (step == 0) {
      EXPECT_THAT(begun.checkpoints(), IsEmpty()) << "weights that no update has changed";
      EXPECT_THAT(begun.sink.steps, IsEmpty());
      continue;
    }
    ASSERT_THAT(begun.checkpoints(), ElementsAre(step_checkpoint_name(step)));
    TinyRun resumed(given);
    resumed.trainer.restore(load_checkpoint(begun.folder() / step_checkpoint_name(step)));
    ASSERT_EQ(resumed.trainer.run(), RunStatus::kFinished);
    expect_same_state(whole, resumed);
    EXPECT_EQ(figures(whole), figures(resumed)) << stop_at;
    EXPECT_EQ(whole.trainer.state().best_val_loss, resumed.trainer.state().best_val_loss);
    EXPECT_EQ(load_checkpoint(resumed.folder() / step_checkpoint_name(4)).state.last_eval_step, 4);
  }
}

TEST_F(TrainerState, TimingItsPaceChangesNoBit) {
  TinyRun plain(config("plain")), timed(config("timed"));
  ASSERT_EQ(plain.train(), RunStatus::kFinished);
  timed.trainer.initialize();
  const RunPace pace = timed.trainer.time_pace();
  EXPECT_GT(pace.step_s, 0);
  EXPECT_GT(pace.evaluation_s, 0);
  EXPECT_GT(pace.sample_s, 0);
  EXPECT_TRUE(timed.checkpoints().empty());
  ASSERT_EQ(timed.trainer.run(), RunStatus::kFinished);
  expect_same_state(plain, timed);
  EXPECT_EQ(figures(plain), figures(timed));
}

TEST_F(TrainerState, TwoRunsOfOneSeedGiveTheSameBitsAndAnotherSeedOthers) {
  TinyRun one(config("one")), two(config("two"));
  TrainConfig other_config = config("other");
  other_config.seed = 7;
  TinyRun other(other_config);
  for (TinyRun* run : {&one, &two, &other}) ASSERT_EQ(run->train(), RunStatus::kFinished);
  expect_same_state(one, two);
  EXPECT_EQ(figures(one), figures(two));
  EXPECT_NE(figures(one), figures(other));
}

TEST_F(TrainerState, RefusesMomentsOfAnotherType) {
  for (const auto& [saved, wanted] : {std::pair("float32", "bfloat16"), std::pair("bfloat16", "float32")}) {
    TrainConfig given = config(saved);
    given.optimizer_state_dtype = saved;
    TinyRun begun(given);
    ASSERT_EQ(begun.train(), RunStatus::kFinished);
    given.optimizer_state_dtype = wanted;
    TinyRun resumed(given);
    const LoadedCheckpoint checkpoint = last_checkpoint(begun);
    EXPECT_THAT(user_error_of([&] { resumed.trainer.restore(checkpoint); }),
                HasSubstr(fmt::format("resume with --optimizer_state_dtype {}", saved)));
  }
}

// --- Which checkpoints it keeps ----------------------------------------------------------------------------------------------

TEST_F(TrainerState, KeepsTheNewestCheckpointsAndTheBest) {
  TrainConfig config = this->config();
  config.save_interval = 2;
  config.keep_last = 2;
  TinyRun run(config);
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  EXPECT_THAT(run.checkpoints(), ElementsAre("step-00000006", "step-00000008"));
  const LoadedCheckpoint best = load_checkpoint(run.folder() / "best");
  EXPECT_EQ(best.state.step, run.trainer.state().best_step);
  EXPECT_EQ(best.state.best_val_loss, run.trainer.state().best_val_loss);
}

TEST_F(TrainerState, KeepsAllCheckpointsWhenToldTo) {
  TrainConfig config = this->config();
  config.save_interval = 3;
  config.keep_last = 0;
  TinyRun run(config);
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  EXPECT_THAT(run.checkpoints(), ElementsAre("step-00000003", "step-00000006", "step-00000008"));
}

// --- bfloat16 with and without master weights --------------------------------------------------------------------------------

/// Weights of a run as float32, from its own type.
std::vector<float> weights_of(TinyRun& run) {
  std::vector<float> values(static_cast<std::size_t>(run.plan.parameters().flat_elements()));
  copy_floats_to_host(
      *run.backend, values,
      run.memory.view(run.plan.master_slot(), 0, run.plan.master_dtype(), {run.plan.parameters().flat_elements()}));
  return values;
}

TEST_F(TrainerState, WithoutMasterWeightsACheckpointIsStillFloat32AndHoldsEveryBit) {
  TinyRun run(bfloat16_config(/*master_weights=*/false));
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  EXPECT_EQ(run.tracker.current(), run.plan.by_category());
  EXPECT_EQ(run.tracker.current()[MemoryCategory::kMasterWeights], 0);
  EXPECT_LT(run.sink.evaluations.back().loss, run.sink.evaluations.front().loss);
  const LoadedCheckpoint checkpoint = last_checkpoint(run);
  const std::vector<float> weights = weights_of(run);
  for (const ParameterSpec& spec : run.plan.parameters().parameters()) {
    const SafetensorsFile::Entry* entry = checkpoint.parameters.find(spec.name);
    ASSERT_NE(entry, nullptr) << spec.name;
    EXPECT_EQ(entry->dtype_name, "F32") << spec.name;
    EXPECT_EQ(std::memcmp(entry->bytes.data(), weights.data() + spec.offset, entry->bytes.size()), 0) << spec.name;
  }
}

TEST_F(TrainerState, GoesOnWithoutTheMasterWeightsThatACheckpointWasSavedFrom) {
  TinyRun begun(bfloat16_config(/*master_weights=*/true));
  ASSERT_EQ(begun.train(), RunStatus::kFinished);
  TrainConfig given = bfloat16_config(/*master_weights=*/false);
  given.max_iters = 12;
  TinyRun resumed(given);
  resumed.trainer.restore(last_checkpoint(begun));
  std::vector<float> rounded = weights_of(begun);
  for (float& value : rounded) value = static_cast<float>(BFloat16(value));
  test_support::expect_same_bits(resumed.plan.parameters(), rounded, weights_of(resumed));
  EXPECT_THAT(resumed.sink.warnings, testing::Contains(HasSubstr("are rounded to bfloat16, as master_weights is false")));
  ASSERT_EQ(resumed.trainer.run(), RunStatus::kFinished);
}

TEST_F(TrainerState, GoesOnWithMasterWeightsThatACheckpointWasSavedWithout) {
  TinyRun begun(bfloat16_config(/*master_weights=*/false));
  ASSERT_EQ(begun.train(), RunStatus::kFinished);
  TrainConfig given = bfloat16_config(/*master_weights=*/true);
  given.max_iters = 12;
  TinyRun resumed(given);
  resumed.trainer.restore(last_checkpoint(begun));
  test_support::expect_same_bits(resumed.plan.parameters(), weights_of(begun), weights_of(resumed));
  EXPECT_THAT(resumed.sink.warnings, IsEmpty());
  ASSERT_EQ(resumed.trainer.run(), RunStatus::kFinished);
}

// --- Resuming what does not fit ---------------------------------------------------------------------------------------------

TEST_F(TrainerState, RefusesToGoOnWithOtherData) {
  TinyRun run(config());
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  TrainConfig other = config("other");
  other.input = {(directory_.path() / "other.txt").string()};
  TinyRun second(other, tiny_text(6000, 2));
  EXPECT_THAT(user_error_of([&] { second.trainer.restore(load_checkpoint(run.folder() / "step-00000008")); }),
              AllOf(HasSubstr("step-00000008"), HasSubstr("other.txt"), HasSubstr("other data"),
                    HasSubstr("on this text: train --init_from "), HasSubstr("--model_name other-new")));
}

TEST_F(TrainerState, RefusesToGoOnWithAnotherShape) {
  TinyRun run(config());
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  TrainConfig wider = config("wider");
  wider.n_embd = 48;
  TinyRun second(wider);
  EXPECT_THAT(user_error_of([&] { second.trainer.restore(load_checkpoint(run.folder() / "step-00000008")); }),
              AllOf(HasSubstr("transformer.wte.weight"), HasSubstr("48")));
}

TEST_F(TrainerState, RefusesToGoOnWithoutAnOptimizer) {
  TinyRun run(config());
  ASSERT_EQ(run.train(), RunStatus::kFinished);
  LoadedCheckpoint checkpoint = load_checkpoint(run.folder() / "step-00000008");
  checkpoint.optimizer.reset();
  EXPECT_THAT(user_error_of([&] { run.trainer.restore(checkpoint); }), HasSubstr("no optimizer state"));
}

}  // namespace
}  // namespace virgil
