// Muon and NorMuon on simulated GPUs, in whole training runs.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "train/tiny_run.h"
#include "virgil/backend/cuda_backend.h"

namespace virgil {
namespace {

using test_support::tiny_config;
using test_support::tiny_text;
using test_support::TinyRun;

struct MuonCase {
  const char* optimizer;
  const char* dtype;
};

class TrainMuonSim : public testing::TestWithParam<MuonCase> {
 protected:
  [[nodiscard]] TrainConfig config(const std::string& name) const {
    TrainConfig config = tiny_config(directory_.path());
    config.model_name = name;
    config.optimizer = GetParam().optimizer;
    config.dtype = GetParam().dtype;
    config.max_iters = config.lr_decay_iters = 5;
    config.warmup_iters = 1;
    config.eval_interval = 0;
    config.sample_interval = 0;
    return config;
  }
  static std::vector<double> losses(TinyRun& run) {
    EXPECT_EQ(run.train(), RunStatus::kFinished);
    EXPECT_EQ(run.tracker.peak_bytes(), run.plan.total_bytes()) << "the update's scratch is in the plan";
    std::vector<double> losses;
    for (const StepMetrics& step : run.sink.steps) losses.push_back(step.loss);
    return losses;
  }

  test_support::TemporaryDirectory directory_;
};

TEST_P(TrainMuonSim, LearnsAndRepeatsItsBits) {
  std::vector<double> first;
  for (const bool graphs : {true, false}) {
    TinyRun run(config(graphs ? "graphs" : "calls"), tiny_text(), make_cuda_backend({.graphs = graphs}));
    const std::vector<double> now = losses(run);
    EXPECT_LT(now.back(), now.front());
    if (first.empty()) first = now;
    EXPECT_EQ(now, first);
  }
}

TEST_P(TrainMuonSim, FollowsTheCpu) {
  if (std::string(GetParam().dtype) == "float16") return;  // which the CPU has not
  TinyRun here(config("cpu"), tiny_text(), make_cpu_backend({.num_threads = 1}));
  TinyRun there(config("gpu"), tiny_text(), make_cuda_backend({}));
  const std::vector<double> expected = losses(here);
  const std::vector<double> actual = losses(there);
  // Not within rounding: directions of small singular values grow up to 3.4445^5-fold, and with them their rounding. But the
  // losses of five steps must be as near as those of two orders of summation, some thousandths of what has been learned.
  const double bound = std::string(GetParam().dtype) == "float32" ? 2e-3 : 2e-2;
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(actual[i], expected[i], bound) << i;
}

INSTANTIATE_TEST_SUITE_P(Types, TrainMuonSim,
                         testing::Values(MuonCase{"muon", "float32"}, MuonCase{"muon", "bfloat16"}, MuonCase{"muon", "float16"},
                                         MuonCase{"normuon", "float32"}, MuonCase{"normuon", "bfloat16"}),
                         [](const auto& info) { return std::string(info.param.optimizer) + "_" + info.param.dtype; });

}  // namespace
}  // namespace virgil
