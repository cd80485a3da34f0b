// A model on paper: how fast data parallel training is on many GPUs, from the time of a micro-step on one of them, the
// gradients' bytes and the links' bandwidths. Nothing here is measured; docs/distributed.md says what it assumes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "virgil/plan/training_plan.h"

namespace virgil {

struct Link {
  std::string name = {};
  double bytes_per_s = 0;  // in each direction, that a collective reaches; infinite: takes no time
  double latency_s = 0;    // of each of a ring's steps
};

/// Machines of several GPUs, each GPU with a link to the others of its machine.
struct Cluster {
  Link inside = {};
  Link between = {};  // one network card
  std::int64_t gpus_per_machine = 8;
  std::int64_t cards_per_machine = 1;  // they share a machine's bytes evenly

  [[nodiscard]] std::string name() const { return inside.name + ", " + between.name; }
};

/// Every usual link inside a machine with every usual network: 80 % of what the wire carries.
[[nodiscard]] std::vector<Cluster> usual_clusters(std::int64_t cards_per_machine);

/// Seconds of a reduce-scatter or an all-gather of `bytes` over `gpus`: a ring inside each machine, (G - 1) / G of the bytes
/// over its link, and then one between the M machines, (M - 1) / M of the bytes over a machine's cards; each ring of n takes
/// n - 1 steps of latency.
[[nodiscard]] double collective_seconds(const Cluster& cluster, std::int64_t gpus, double bytes);

/// One bucket of gradients, in the order in which the backward pass completes them.
struct BucketTimes {
  double backward_s = 0;         // from the bucket before until this one is complete
  double reduce_s = 0;           // until it is summed, without waiting
  std::int64_t place = -1;       // stage 2: buckets of one place take turns in it, micro-steps too; -1: a place of its own
  bool claimed_by_head = false;  // stage 2: the classifier writes into it already
};
struct StepTimes {
  double forward_s = 0;  // of the blocks, in a micro-step
  double head_s = 0;     // the classifier, forward and backward
  std::vector<BucketTimes> buckets = {};
  std::int64_t micro_steps = 1;
  bool reduces_every_micro_step = false;  // else the last alone
  double gather_s = 0;                    // of updated weights, beside nothing
};

struct StepTimeline {
  double step_s = 0;
  double compute_s = 0;  // of all micro-steps
  double exposed_s = 0;  // what the reductions add to it: what the two below and the last buckets' reductions come to
  double stalled_s = 0;  // of that, the passes waited for a place
  double late_s = 0;     // of that, earlier reductions outstanding when the last backward pass ends
  double gather_s = 0;
};
/// Computation and reductions side by side: a bucket's reduction starts when it is complete and the reductions before it have
/// ended.
[[nodiscard]] StepTimeline run_timeline(const StepTimes& times);

/// The step of each of shape.parallel.processes GPUs; `micro_step_s` on one of them, without communication.
[[nodiscard]] StepTimes step_times(const TrainingShape& shape, double micro_step_s, const Cluster& cluster);

/// Seconds of a micro-step at `share` of `tflops`, the share counted as usual (model_flops_per_token, nothing recomputed);
/// what shape.recompute runs again comes on top as step_work weighs it.
[[nodiscard]] double predicted_micro_step_s(const TrainingShape& shape, double tflops, double share);

struct ScalingPoint {
  std::int64_t gpus = 1;
  std::int64_t tokens_per_step = 0;
  double tokens_per_s = 0;
  double efficiency = 1;  // of as many single GPUs
  StepTimeline timeline = {};

  /// Whether all reductions but those that complete with the backward pass itself ran beside it.
  [[nodiscard]] bool hides() const { return timeline.stalled_s + timeline.late_s <= 0; }
};
/// The batch of each GPU stays as `shape` has it, so that a step's tokens grow with the GPUs.
[[nodiscard]] std::vector<ScalingPoint> predict_scaling(const TrainingShape& shape, double micro_step_s, const Cluster& cluster,
                                                        std::span<const std::int64_t> gpus);

}  // namespace virgil
