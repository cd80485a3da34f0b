#include "virgil/plan/scaling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "virgil/plan/communication.h"
#include "virgil/plan/planning_traits.h"
#include "virgil/plan/step_work.h"

namespace virgil {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
const std::vector<std::int64_t> kCounts = {1, 2, 4, 8, 16, 64, 1024};

TrainingShape shape_of(int zero_stage, std::int64_t micro_steps = 3) {
  return {.model = {.num_layers = 6, .num_heads = 4, .embedding_dim = 256, .block_size = 256, .vocab_size = 5000},
          .batch_size = 8,
          .grad_accum_steps = micro_steps,
          .dtype = DType::kBFloat16,
          .parallel = {.zero_stage = zero_stage}};
}

Cluster cluster_of(double inside, double between, double latency_s = 0) {
  return {.inside = {"near", inside, latency_s}, .between = {"far", between, latency_s}};
}

TEST(Collective, CountsBytesOfBothRingsAndTheirSteps) {
  const Cluster cluster = cluster_of(100, 10, 1);
  EXPECT_EQ(collective_seconds(cluster, 1, 800), 0);
  EXPECT_DOUBLE_EQ(collective_seconds(cluster, 4, 800), 600.0 / 100 + 3);
  EXPECT_DOUBLE_EQ(collective_seconds(cluster, 8, 800), 700.0 / 100 + 7);
  EXPECT_DOUBLE_EQ(collective_seconds(cluster, 32, 800), 700.0 / 100 + 7 + 600.0 / 10 + 3);
  Cluster eight_cards = cluster;
  eight_cards.cards_per_machine = 8;
  EXPECT_DOUBLE_EQ(collective_seconds(eight_cards, 32, 800), 700.0 / 100 + 7 + 600.0 / 80 + 3);
}

// Forward until 3, classifier until 4. Bucket 0 is complete at 6 and summed from 6 to 11; bucket 1 is complete at 8, waits for
// it, and is summed from 11 to 12. Gathering takes 2 more.
TEST(Timeline, OfTwoBucketsByHand) {
  StepTimes times{.forward_s = 3,
                  .head_s = 1,
                  .buckets = {{.backward_s = 2, .reduce_s = 5}, {.backward_s = 2, .reduce_s = 1}},
                  .gather_s = 2};
  StepTimeline timeline = run_timeline(times);
  EXPECT_DOUBLE_EQ(timeline.compute_s, 8);
  EXPECT_DOUBLE_EQ(timeline.late_s, 3);     // bucket 0 ends at 11, the backward pass at 8
  EXPECT_DOUBLE_EQ(timeline.exposed_s, 4);  // until 12
  EXPECT_DOUBLE_EQ(timeline.step_s, 14);
  // The first of two micro-steps has no part in it where the last alone reduces.
  times.micro_steps = 2;
  timeline = run_timeline(times);
  EXPECT_DOUBLE_EQ(timeline.step_s, 22);
  EXPECT_DOUBLE_EQ(timeline.exposed_s, 4);
  // Fast enough: only the last bucket's own reduction shows.
  times.buckets[0].reduce_s = 1;
  timeline = run_timeline(times);
  EXPECT_DOUBLE_EQ(timeline.late_s, 0);
  EXPECT_DOUBLE_EQ(timeline.exposed_s, 1);
}

// Two buckets in one place: bucket 0 is complete at 2 and its place free at 7; bucket 1 is then computed until 9 and summed
// until 10. The next micro-step is at its first bucket at 9 (nothing forward), which waits until 10: 12, 17; 19, 20.
TEST(Timeline, OfOnePlaceByHand) {
  const StepTimes times{.buckets = {{.backward_s = 2, .reduce_s = 5, .place = 0}, {.backward_s = 2, .reduce_s = 1, .place = 0}},
                        .micro_steps = 2,
                        .reduces_every_micro_step = true};
  const StepTimeline timeline = run_timeline(times);
  EXPECT_DOUBLE_EQ(timeline.step_s, 20);
  EXPECT_DOUBLE_EQ(timeline.compute_s, 8);
  EXPECT_DOUBLE_EQ(timeline.stalled_s, 5 + 1 + 5);
  EXPECT_DOUBLE_EQ(timeline.exposed_s, 12);
}

class Scaling : public testing::TestWithParam<int> {};

TEST_P(Scaling, OneGpuHasItsOwnRate) {
  const TrainingShape shape = shape_of(GetParam());
  const ScalingPoint point = predict_scaling(shape, 0.1, cluster_of(1e9, 1e8, 1e-5), std::vector<std::int64_t>{1}).front();
  EXPECT_NEAR(point.tokens_per_s, 8 * 256 / 0.1, 1e-6);
  EXPECT_NEAR(point.efficiency, 1, 1e-12);
  EXPECT_EQ(point.tokens_per_step, 3 * 8 * 256);
  EXPECT_TRUE(point.hides());
}

TEST_P(Scaling, WithoutCommunicationNothingIsLost) {
  for (const ScalingPoint& point : predict_scaling(shape_of(GetParam()), 0.1, cluster_of(kInfinite, kInfinite), kCounts)) {
    EXPECT_NEAR(point.efficiency, 1, 1e-12) << point.gpus;
    EXPECT_EQ(point.tokens_per_step, point.gpus * 3 * 8 * 256);
  }
}

// With a millionth of a second of computation a step is its bytes over the link's rate, and the bytes are the plan's.
TEST_P(Scaling, WithoutComputationAStepIsBytesOverBandwidth) {
  TrainingShape shape = shape_of(GetParam());
  shape.parallel.processes = 8;
  const auto sent = static_cast<double>(communication_volume(shape).total_bytes());
  const ScalingPoint point = predict_scaling(shape, 1e-9, cluster_of(1e9, kInfinite), std::vector<std::int64_t>{8}).front();
  EXPECT_NEAR(point.timeline.step_s, sent / 1e9, 1e-6 * sent / 1e9);
}

TEST_P(Scaling, GrowsWithBandwidth) {
  for (const double share : {0.01, 0.1, 1.0}) {
    std::vector<double> before(kCounts.size(), 0);
    for (const double bandwidth : {1e7, 1e8, 1e9, 1e10, 1e11}) {
      const auto points = predict_scaling(shape_of(GetParam()), share, cluster_of(10 * bandwidth, bandwidth, 1e-6), kCounts);
      for (std::size_t i = 0; i < points.size(); ++i) {
        EXPECT_GE(points[i].tokens_per_s, before[i]);
        EXPECT_LE(points[i].efficiency, 1 + 1e-12);
        before[i] = points[i].tokens_per_s;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Stages, Scaling, testing::Values(0, 1, 2));

TEST(ScalingModel, TheTimesOfAMicroStepAreAllOfIt) {
  for (const Recompute recompute : kAllRecompute) {
    TrainingShape shape = shape_of(1);
    shape.recompute = recompute;
    shape.model.tie_weights = recompute == Recompute::kNone;
    shape.parallel.processes = 2;
    const StepTimes times = step_times(shape, 0.5, cluster_of(1e9, 1e9));
    double sum = times.forward_s + times.head_s;
    for (const BucketTimes& bucket : times.buckets) sum += bucket.backward_s;
    EXPECT_NEAR(sum, 0.5, 1e-12);
    EXPECT_EQ(times.buckets.size(), ParameterLayout(trainable(shape.model)).buckets().size());
  }
}

TEST(ScalingModel, BucketsComeInTheOrderOfTheBackwardPass) {
  TrainingShape shape = shape_of(2);
  shape.parallel.processes = 2;
  const StepTimes times = step_times(shape, 1, cluster_of(1e9, 1e9));
  ASSERT_EQ(times.buckets.size(), 8U);  // six layers, vectors, embeddings
  for (std::size_t b = 0; b < 6; ++b) {
    EXPECT_GT(times.buckets[b].backward_s, 0);
    EXPECT_EQ(times.buckets[b].place, times.buckets[b % 2].place) << "two layers take turns";
    EXPECT_FALSE(times.buckets[b].claimed_by_head);
  }
  EXPECT_GT(times.buckets[7].reduce_s, times.buckets[6].reduce_s);
  EXPECT_TRUE(times.buckets[7].claimed_by_head);
}

// 6 layers of 12 * 256^2 and a head of 5,056 * 256 make 6 operations each, and attention 6 * 6 * 256 * 256, a token; 2,048
// tokens at half of 10 TFLOP/s.
TEST(ScalingModel, PredictsAMicroStepFromItsOperations) {
  TrainingShape shape = shape_of(0);
  const double flops = 2048.0 * (6 * (6 * 12 * 65536.0 + 5056 * 256 + 6 * 256 + 7 * 256) + 6 * 6 * 65536.0);
  EXPECT_NEAR(predicted_micro_step_s(shape, 10, 0.5), flops / 5e12, 0.001 * flops / 5e12);
  const double straight = predicted_micro_step_s(shape, 10, 0.5);
  const double work = step_work(shape, PlanningTraits());
  shape.recompute = Recompute::kBlock;
  EXPECT_NEAR(predicted_micro_step_s(shape, 10, 0.5), straight * step_work(shape, PlanningTraits()) / work, 1e-12);
}

TEST(UsualClusters, AreEveryLinkWithEveryNetwork) {
  const std::vector<Cluster> clusters = usual_clusters(8);
  EXPECT_EQ(clusters.size(), 6U);
  EXPECT_EQ(clusters.front().name(), "PCIe 4 x16, 100 Gb/s");
  EXPECT_EQ(clusters.back().cards_per_machine, 8);
}

}  // namespace
}  // namespace virgil
