#include "train/run_forecast.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>

#include "train/trainer_fixture.h"
#include "virgil/train/trainer.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;

class RunForecast : public test_support::TrainerFixture {};

TEST_F(RunForecast, KnowsTheBytesOfACheckpoint) {
  for (const char* moments : {"float32", "bfloat16"}) {
    TrainConfig given = config(moments);
    given.optimizer_state_dtype = moments;
    test_support::TinyRun run(given);
    ASSERT_EQ(run.train(), RunStatus::kFinished);
    std::int64_t actual = 0;
    for (const auto& file : fs::directory_iterator(run.folder() / run.checkpoints().back())) {
      actual += static_cast<std::int64_t>(file.file_size());
    }
    const std::int64_t expected = checkpoint_bytes(run.plan, *run.data.tokenizer);
    EXPECT_GE(expected, actual);
    EXPECT_LE(expected, actual + (std::int64_t{1} << 15));
  }
}

TEST(ForecastDisk, CountsTheCheckpointsThatStandAtOnce) {
  const auto files = make_posix_file_system();
  TrainConfig config;
  config.max_iters = 1000;
  config.eval_interval = 100;
  const auto most = [&](std::int64_t save_interval, std::int64_t keep_last, bool evaluates) {
    config.save_interval = save_interval;
    config.keep_last = keep_last;
    return forecast_disk(config, 0, evaluates, 1, "/nowhere/run", *files).most_at_once;
  };
  EXPECT_EQ(most(0, 1, false), 1) << "the last";
  EXPECT_EQ(most(0, 1, true), 3) << "the last, the best, and the best before it";
  EXPECT_EQ(most(100, 3, false), 4);
  EXPECT_EQ(most(100, 3, true), 5);
  EXPECT_EQ(most(100, 0, true), 12) << "ten are saved";
  EXPECT_EQ(most(100, 50, false), 10);
  EXPECT_GT(forecast_disk(config, 0, true, 1, "/nowhere/run", *files).free_bytes, 0) << "of the disk that would hold it";
}

TEST(ChooseTimeSource, TimesWhatTakesAMoment) {
  EXPECT_EQ(choose_time_source(0.1, false), TimeSource::kMicroStep);
  EXPECT_EQ(choose_time_source(30, false), TimeSource::kFirstSteps);
  EXPECT_EQ(choose_time_source(30, true), TimeSource::kMicroStep);
  EXPECT_EQ(choose_time_source(3000, true), TimeSource::kMatmul);
}

TEST(AutoEvalTokens, FollowsTheTokensBetweenTwoEvaluations) {
  TrainConfig config;
  config.block_size = 256;
  config.total_batch_size = 4096;
  config.eval_interval = 100;
  EXPECT_EQ(auto_eval_tokens(config), 65536);
  config.eval_interval = 250;
  EXPECT_EQ(auto_eval_tokens(config), 102400);
  config.eval_interval = 1'000'000'000;
  EXPECT_EQ(auto_eval_tokens(config), 524288);
  config.total_batch_size = 1'000'000'000'000;
  EXPECT_EQ(auto_eval_tokens(config), 524288);
  config.eval_interval = 0;
  EXPECT_EQ(auto_eval_tokens(config), 65536);
}

}  // namespace
}  // namespace virgil
