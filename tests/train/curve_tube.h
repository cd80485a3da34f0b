// How far the losses of two runs can part that add the same gradients in different orders.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "support/summands_backend.h"
#include "train/tiny_run.h"

namespace virgil::test_support {

/// A run's losses, and for each step how far from another run's they may be.
struct CurveTube {
  std::vector<double> losses;
  std::vector<double> radius;

  void expect_close(const std::vector<double>& expected, const std::vector<double>& actual) const {
    ASSERT_EQ(expected.size(), radius.size());
    ASSERT_EQ(actual.size(), radius.size());
    for (std::size_t step = 0; step < radius.size(); ++step) {
      EXPECT_NEAR(actual[step], expected[step], radius[step]) << "step " << step;
    }
  }
};

/// Trains in one process: once as it is and several times with every element of every step's gradients moved, at random, by up
/// to the distance that two orders of its sum can have (SummandsBackend). The radius is how far these runs have strayed from
/// the first one up to then; it grows by what the optimizer and the model make of such differences, which no formula tells. A
/// change of order moves most elements by a hundredth of that distance, and so stays inside; a wrong summand does not.
///
/// `config` is not resolved; the device is the CPU.
inline CurveTube curve_tube(TrainConfig config, std::string_view text = tiny_text()) {
  config.device = "cpu";
  config.sample_interval = 0;
  constexpr std::uint64_t kNumMoved = 4;
  const auto losses = [&](std::uint64_t moved) {
    TrainConfig mine = config;
    mine.model_name = fmt::format("{}-moved-{}", config.model_name, moved);
    auto device = std::make_unique<SummandsBackend>(make_cpu_backend({.num_threads = 1}));
    SummandsBackend& summands = *device;
    TinyRun run(mine, text, std::move(device));
    std::uint32_t step = 0;
    if (moved > 0) {
      summands.watch(run.memory.view(PlanSlot::kGradients, 0, DType::kFloat32, {run.plan.gradients().num_elements()}));
      summands.before_norm = [&](std::span<float> gradients) {
        for (std::size_t i = 0; i < gradients.size(); ++i) {
          const double direction = 2 * random_uniform({moved, RandomPurpose::kShuffle, 0, step}, i) - 1;
          gradients[i] = static_cast<float>(gradients[i] + direction * summands.distance(i));
        }
        ++step;
      };
    }
    run.trainer.initialize();
    static_cast<void>(run.trainer.run());
    std::vector<double> result;
    for (const StepMetrics& metrics : run.sink.steps) result.push_back(metrics.loss);
    return result;
  };
  CurveTube tube;
  tube.losses = losses(0);
  tube.radius.assign(tube.losses.size(), 0);
  for (std::uint64_t moved = 1; moved <= kNumMoved; ++moved) {
    const std::vector<double> strayed = losses(moved);
    double farthest = 0;
    for (std::size_t step = 0; step < strayed.size(); ++step) {
      farthest = std::max(farthest, std::fabs(strayed[step] - tube.losses[step]));
      tube.radius[step] = std::max(tube.radius[step], farthest);
    }
  }
  return tube;
}

}  // namespace virgil::test_support
