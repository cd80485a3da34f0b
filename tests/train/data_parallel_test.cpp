// Several ranks, as threads, train one model: the curves of one process, the bits of every ZeRO stage, checkpoints for any
// number.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "support/thread_group.h"
#include "train/curve_tube.h"
#include "train/part_gathering.h"
#include "train/tiny_run.h"
#include "virgil/dist/agreement.h"
#include "virgil/format/checkpoint.h"
#include "virgil/format/parameter_io.h"
#include "virgil/train/run_folder.h"
#include "virgil/train/training_run.h"

namespace virgil {
namespace {

using test_support::RecordingSink;

/// Sixteen sequences a step, in micro-steps of two.
TrainConfig parallel_config(const std::filesystem::path& folder) {
  TrainConfig config = test_support::tiny_config(folder);
  config.grad_accum_steps = 1;
  config.total_batch_size = 16 * config.block_size;
  config.device = "cpu";
  return config;
}

struct Outcome {
  RunStatus status = RunStatus::kFinished;
  std::vector<RecordingSink> sinks;  // by rank

  [[nodiscard]] std::vector<double> losses() const {
    std::vector<double> losses;
    for (const StepMetrics& step : sinks.front().steps) losses.push_back(step.loss);
    return losses;
  }
};

class DataParallel : public testing::Test {
 protected:
  /// As `train` does it, in `num_ranks` ranks.
  Outcome run(
      const TrainConfig& config, int num_ranks,
      const std::function<bool(int rank, std::int64_t steps)>& stop = [](int, std::int64_t) { return false; }) {
    if (!std::filesystem::exists(config.input.front())) {
      test_support::write_all(config.input.front(), test_support::tiny_text());
    }
    Outcome outcome;
    outcome.sinks.resize(static_cast<std::size_t>(num_ranks));
    CommandLine command_line;
    command_line.config = config;
    test_support::run_ranks(num_ranks, [&](ProcessGroup& group) {
      test_support::UnsyncedFileSystem files;
      RecordingSink& sink = outcome.sinks[static_cast<std::size_t>(group.rank())];
      const auto stop_requested = [&] { return stop(group.rank(), std::ssize(sink.steps)); };
      const RunStatus status = run_training(command_line, files, sink, stop_requested, group);
      if (group.is_root()) outcome.status = status;
    });
    return outcome;
  }

  [[nodiscard]] static std::filesystem::path newest(const TrainConfig& config) {
    return list_step_checkpoints(run_folder(config)).back();
  }
  /// The bytes of the tensors that the newest checkpoint holds.
  [[nodiscard]] static std::string weights(const TrainConfig& config) {
    return test_support::read_all(newest(config) / "model.safetensors") +
           test_support::read_all(newest(config) / "optimizer.safetensors");
  }
  [[nodiscard]] TrainConfig named(const std::string& name) const {
    TrainConfig config = parallel_config(folder_.path());
    config.model_name = name;
    return config;
  }

  /// Of parallel_config(); made once.
  static const test_support::CurveTube& tube() {
    static const test_support::CurveTube made = [] {
      const test_support::TemporaryDirectory folder;
      return test_support::curve_tube(parallel_config(folder.path()));
    }();
    return made;
  }

  test_support::TemporaryDirectory folder_;
};

TEST_F(DataParallel, TheCurveIsThatOfOneProcess) {
  const std::vector<double> alone = run(named("alone"), 1).losses();
  ASSERT_EQ(alone.size(), 8U);
  EXPECT_LT(alone.back(), alone.front());
  EXPECT_EQ(tube().losses, alone);
  for (const int ranks : {2, 4}) {
    const Outcome outcome = run(named(fmt::format("ranks{}", ranks)), ranks);
    EXPECT_EQ(outcome.losses().front(), alone.front()) << "before any sum of gradients, the bits are the same";
    tube().expect_close(alone, outcome.losses());
  }
}

TEST_F(DataParallel, EvaluationsOfTheSameWeightsAreTheSameBits) {
  TrainConfig config = named("alone");
  config.max_iters = 1;
  config.eval_interval = 1;
  config.eval_iters = 0;
  const Outcome alone = run(config, 1);
  config.model_name = "three";
  config.total_batch_size = 12 * config.block_size;
  const Outcome three = run(config, 3);
  ASSERT_FALSE(alone.sinks[0].evaluations.empty());
  EXPECT_EQ(alone.sinks[0].evaluations[0].loss, three.sinks[0].evaluations[0].loss);
  EXPECT_EQ(alone.sinks[0].evaluations[0].num_tokens, three.sinks[0].evaluations[0].num_tokens);
}

struct StageCase {
  int ranks;
  std::string dtype;
  std::string moments;
  std::string wire;
  bool tie_weights;
  std::string optimizer = "adamw";
  std::vector<std::string> param_groups = {};
  std::int64_t conv_taps = 0;
};

class EveryStage : public DataParallel, public testing::WithParamInterface<StageCase> {};

TEST_P(EveryStage, TrainsTheSameBits) {
  std::vector<std::string> trained;
  std::vector<std::vector<double>> losses;
  for (int stage = 0; stage <= kMaxZeroStage; ++stage) {
    TrainConfig config = named(fmt::format("stage{}", stage));
    config.zero_stage = stage;
    config.dtype = GetParam().dtype;
    config.optimizer = GetParam().optimizer;
    config.conv_taps = GetParam().conv_taps;
    config.param_groups = GetParam().param_groups;
    config.optimizer_state_dtype = GetParam().moments;
    config.grad_reduce_dtype = GetParam().wire;
    config.tie_weights = GetParam().tie_weights;
    config.bias = !GetParam().tie_weights;
    config.total_batch_size = GetParam().ranks * config.batch_size * config.block_size;  // one micro-step
    config.max_iters = 5;
    const Outcome outcome = run(config, GetParam().ranks);
    losses.push_back(outcome.losses());
    trained.push_back(weights(config));
    for (const StepMetrics& step : outcome.sinks[0].steps) {
      ASSERT_EQ(std::ssize(step.ranks), GetParam().ranks);
      for (const RankStep& rank : step.ranks) EXPECT_EQ(rank.allocated_bytes, step.memory.planned_bytes);
    }
  }
  EXPECT_EQ(losses[1], losses[0]);
  EXPECT_EQ(losses[2], losses[0]);
  EXPECT_TRUE(trained[1] == trained[0]);
  EXPECT_TRUE(trained[2] == trained[0]);
}

INSTANTIATE_TEST_SUITE_P(
    Ranks, EveryStage,
    testing::Values(
        StageCase{2, "float32", "float32", "float32", true}, StageCase{3, "float32", "bfloat16", "float32", false},
        StageCase{4, "bfloat16", "float32", "float32", true}, StageCase{2, "bfloat16", "bfloat16", "bfloat16", false},
        StageCase{2, "float32", "float32", "float32", true, "muon"},
        StageCase{3, "bfloat16", "float32", "float32", false, "muon"},
        StageCase{2, "float32", "float32", "float32", true, "normuon"},
        StageCase{3, "bfloat16", "float32", "float32", true, "muon", {}, 3},
        StageCase{
            3, "bfloat16", "float32", "float32", false, "normuon", {"*.wte.weight lr_factor=0.5", "*.mlp.* optimizer=adamw"}}));

TEST_F(DataParallel, AccumulationGivesTheSameBitsInStagesThatReduceOnceAStep) {
  TrainConfig config = named("stage0");
  const Outcome whole = run(config, 2);
  const std::string expected = weights(config);
  config = named("stage1");
  config.zero_stage = 1;
  EXPECT_EQ(run(config, 2).losses(), whole.losses());
  EXPECT_TRUE(weights(config) == expected);
  config = named("stage2");
  config.zero_stage = 2;
  tube().expect_close(whole.losses(), run(config, 2).losses());
}

TEST_F(DataParallel, ShardsMakeThePlanSmaller) {
  std::vector<std::int64_t> planned;
  for (int stage = 0; stage <= kMaxZeroStage; ++stage) {
    TrainConfig config = named(fmt::format("stage{}", stage));
    config.zero_stage = stage;
    config.n_layer = 6;
    config.max_iters = 1;
    planned.push_back(run(config, 4).sinks[0].steps.front().memory.planned_bytes);
  }
  EXPECT_LT(planned[1], planned[0]);
  EXPECT_LT(planned[2], planned[1]);
}

TEST_F(DataParallel, ARunGoesOnInAnyNumberOfProcesses) {
  TrainConfig config = named("whole");
  const std::vector<double> whole = run(config, 4).losses();
  for (const int then : {1, 2, 4}) {
    config = named(fmt::format("then{}", then));
    config.zero_stage = 1;
    const auto stop = [](int, std::int64_t steps) { return steps >= 4; };
    EXPECT_EQ(run(config, 4, stop).status, RunStatus::kInterrupted);
    const std::filesystem::path saved = newest(config);
    // The stop is told with the step in which it was asked for, and takes place at the next one's beginning.
    EXPECT_EQ(saved.filename(), step_checkpoint_name(5));
    TrainConfig again = config;
    again.resume = true;
    const Outcome rest = run(again, then);
    EXPECT_EQ(rest.status, RunStatus::kFinished);
    std::vector<double> losses(whole.begin(), whole.begin() + 5);
    const std::vector<double> later = rest.losses();
    losses.insert(losses.end(), later.begin(), later.end());
    EXPECT_EQ(later.front(), whole[5]) << "of the same weights";
    tube().expect_close(whole, losses);
    if (then == 4) {
      EXPECT_EQ(losses, whole) << "as many processes repeat the bits";
    }
  }
}

TEST_F(DataParallel, StateIsLoadedAsItWasSaved) {
  TrainConfig config = named("saved");
  config.dtype = "bfloat16";
  config.zero_stage = 2;
  config.total_batch_size = 8 * config.block_size;
  config.max_iters = 3;
  run(config, 4);
  const LoadedCheckpoint saved = load_checkpoint(newest(config));
  for (const int num_ranks : {1, 3, 8}) {
    test_support::run_ranks(num_ranks, [&](ProcessGroup& group) {
      const auto backend = make_cpu_backend({.num_threads = 1});
      const MemoryPlan plan(trainable(saved.model),
                            {.step = StepShape{.batch_size = 1, .length = 8, .dtype = DType::kBFloat16},
                             .parallel = {.processes = num_ranks, .zero_stage = 1}},
                            backend->traits());
      const PlannedMemory memory(plan, backend->memory());
      const ParameterLayout& layout = plan.parameters();
      const FlatTensor moments = memory.flat(plan, state_slot(0), group.rank());
      const FlatTensor masters = memory.flat(plan, PlanSlot::kMasterWeights, group.rank());
      load_state(*backend, layout, *saved.optimizer, plan.states()[0], moments);
      load_parameters(*backend, layout, saved.parameters, "", masters, DType::kFloat32);
      PartGathering gathering(*backend, &group, layout, {masters, moments});
      if (!group.is_root()) return gathering.serve();
      for (const ParameterSpec& spec : layout.parameters()) {
        std::vector<std::byte> bytes(static_cast<std::size_t>(spec.stored_shape.num_elements()) * sizeof(float));
        gathering.read(0, spec.offset, bytes);
        EXPECT_TRUE(std::ranges::equal(bytes, saved.parameters.find(spec.name)->bytes)) << spec.name;
        gathering.read(1, spec.offset, bytes);
        EXPECT_TRUE(std::ranges::equal(bytes, saved.optimizer->find("m." + spec.name)->bytes)) << spec.name;
      }
      gathering.finish();
    });
  }
}

TEST_F(DataParallel, OneRankIsAskedToStopAndAllDo) {
  const TrainConfig config = named("stopped");
  const Outcome outcome = run(config, 2, [](int rank, std::int64_t steps) { return rank == 1 && steps == 2; });
  EXPECT_EQ(outcome.status, RunStatus::kInterrupted);
  EXPECT_EQ(outcome.sinks[0].steps.size(), 3U);
  EXPECT_EQ(outcome.sinks[1].steps.size(), 3U);
  EXPECT_EQ(newest(config).filename(), step_checkpoint_name(3));
}

TEST_F(DataParallel, OnlyTheRootWritesAndSamples) {
  TrainConfig config = named("written");
  config.max_iters = 4;
  const Outcome outcome = run(config, 2);
  EXPECT_FALSE(outcome.sinks[0].samples.empty());
  EXPECT_TRUE(outcome.sinks[1].samples.empty());
  const std::string metrics = test_support::read_all(run_folder(config) / "metrics.jsonl");
  EXPECT_EQ(std::ranges::count(metrics, '\n'), 6);  // and the evaluation and the sample at the end
  EXPECT_THAT(metrics, testing::HasSubstr("\"slowest_rank\""));
}

/// What each rank of two throws, run with its own config.
std::string agreed_error(const std::function<TrainConfig(int rank)>& config) {
  std::mutex mutex;
  std::vector<std::string> texts;
  test_support::run_ranks(2, [&](ProcessGroup& group) {
    CommandLine command_line;
    command_line.config = config(group.rank());
    test_support::UnsyncedFileSystem files;
    RecordingSink sink;
    std::string text;
    try {
      static_cast<void>(run_training(
          command_line, files, sink, [] { return false; }, group));
    } catch (const AgreedError& error) {
      text = error.what();
    }
    const std::lock_guard lock(mutex);
    texts.push_back(text);
  });
  EXPECT_EQ(texts[0], texts[1]);
  return texts[0];
}

TEST_F(DataParallel, RanksThatDifferAreToldWhere) {
  const TrainConfig config = named("differs");
  test_support::write_all(config.input.front(), test_support::tiny_text());
  const std::string key = agreed_error([&](int rank) {
    TrainConfig mine = config;
    if (rank == 1) mine.learning_rate = 1e-3;
    return mine;
  });
  EXPECT_THAT(key, testing::HasSubstr("the key learning_rate differs between ranks: rank 1"));
  EXPECT_THAT(key, testing::HasSubstr("0.003"));

  const std::string missing = agreed_error([&](int rank) {
    TrainConfig mine = config;
    if (rank == 1) mine.n_head = 5;
    return mine;
  });
  EXPECT_THAT(missing, testing::HasSubstr("rank 1"));
  EXPECT_THAT(missing, testing::HasSubstr("n_head"));

  const std::string uneven = agreed_error([&](int) {
    TrainConfig mine = config;
    mine.total_batch_size = 3 * mine.block_size;
    return mine;
  });
  EXPECT_THAT(
      uneven,
      testing::HasSubstr(
          "total_batch_size is 48, which 2 processes cannot share in whole sequences of block_size = 16; set it to 64"));
  EXPECT_FALSE(std::filesystem::exists(run_folder(config)));
}

TEST_F(DataParallel, PresetsOfOneProcessAreSharedByMany) {
  TrainConfig config = named("preset");
  config.batch_size = 6;
  config.total_batch_size = 24 * config.block_size;
  config.max_iters = 3;
  const test_support::CurveTube tube = test_support::curve_tube(config);
  config.model_name = "four";
  config.batch_size = 8;  // each of four has six sequences, which eight do not divide
  const Outcome four = run(config, 4);
  tube.expect_close(tube.losses, four.losses());
  EXPECT_THAT(four.sinks[0].lines, testing::Contains(testing::HasSubstr("batch_size is 6 instead of 8")));
}

TEST_F(DataParallel, RoundedSumsOfSeveralMicroStepsAreRefused) {
  const std::string text = agreed_error([&](int) {
    TrainConfig mine = named("rounded");
    mine.zero_stage = 2;
    mine.grad_reduce_dtype = "bfloat16";
    return mine;
  });
  EXPECT_THAT(text, testing::HasSubstr("grad_reduce_dtype is bfloat16 with zero_stage 2 and 4 micro-steps"));
}

}  // namespace
}  // namespace virgil
