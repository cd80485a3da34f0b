// Several ranks train on played GPUs with the played NCCL: through run_training, as `train` does it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "cuda/sim/control.h"
#include "support/thread_group.h"
#include "train/curve_tube.h"
#include "train/tiny_run.h"
#include "virgil/train/run_folder.h"
#include "virgil/train/training_run.h"

namespace virgil {
namespace {

using test_support::RecordingSink;

const std::string kText = test_support::tiny_text(3000);

class DataParallelSim : public testing::TestWithParam<const char*> {
 protected:
  [[nodiscard]] TrainConfig config(const std::string& name) const {
    TrainConfig config = test_support::tiny_config(folder_.path());
    config.model_name = name;
    config.n_embd = 16;
    config.block_size = 8;
    config.device = "cuda";
    config.dtype = GetParam();
    config.max_iters = 3;
    config.eval_interval = 3;
    config.eval_iters = 2;
    config.sample_interval = 0;
    config.grad_accum_steps = 1;
    config.total_batch_size = 8 * config.block_size;
    return config;
  }

  /// The sinks of all ranks.
  std::vector<RecordingSink> run(const TrainConfig& config, int num_ranks) {
    test_support::write_all(config.input.front(), kText);
    std::vector<RecordingSink> sinks(static_cast<std::size_t>(num_ranks));
    CommandLine command_line;
    command_line.config = config;
    test_support::run_ranks(num_ranks, [&](ProcessGroup& group) {
      const simt::OwnDevice device;
      test_support::UnsyncedFileSystem files;
      RecordingSink& sink = sinks[static_cast<std::size_t>(group.rank())];
      EXPECT_EQ(run_training(
                    command_line, files, sink, [] { return false; }, group),
                RunStatus::kFinished);
    });
    return sinks;
  }

  static std::vector<double> losses(const RecordingSink& sink) {
    std::vector<double> losses;
    for (const StepMetrics& step : sink.steps) losses.push_back(step.loss);
    return losses;
  }
  static std::string checkpoint(const TrainConfig& config) {
    const std::filesystem::path newest = list_step_checkpoints(run_folder(config)).back();
    return test_support::read_all(newest / "model.safetensors") + test_support::read_all(newest / "optimizer.safetensors");
  }

  test_support::TemporaryDirectory folder_;
};

TEST_P(DataParallelSim, TheCurveIsThatOfOneGpu) {
  const test_support::CurveTube tube = test_support::curve_tube(config("tube"), kText);
  const std::vector<double> alone = losses(run(config("alone"), 1).front());
  for (const int ranks : {2, 4}) {
    const std::vector<double> together = losses(run(config(fmt::format("ranks{}", ranks)), ranks).front());
    EXPECT_EQ(together.front(), alone.front()) << "before any sum of gradients, the bits are the same";
    tube.expect_close(alone, together);
  }
}

TEST_P(DataParallelSim, EveryStageTrainsTheSameBits) {
  std::vector<std::string> trained;
  std::vector<std::vector<double>> curves;
  for (int stage = 0; stage <= 2; ++stage) {
    TrainConfig given = config(fmt::format("stage{}", stage));
    given.zero_stage = stage;
    given.total_batch_size = 4 * given.block_size;  // one micro-step of two ranks
    const std::vector<RecordingSink> sinks = run(given, 2);
    curves.push_back(losses(sinks.front()));
    trained.push_back(checkpoint(given));
    for (const RankStep& rank : sinks.front().steps.back().ranks) {
      EXPECT_EQ(rank.allocated_bytes, sinks.front().steps.back().memory.planned_bytes);
      EXPECT_GT(rank.device_used_bytes, 0);
    }
  }
  EXPECT_EQ(curves[1], curves[0]);
  EXPECT_EQ(curves[2], curves[0]);
  EXPECT_TRUE(trained[1] == trained[0]);
  EXPECT_TRUE(trained[2] == trained[0]);
}

INSTANTIATE_TEST_SUITE_P(Types, DataParallelSim, testing::Values("float32", "bfloat16"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace virgil
