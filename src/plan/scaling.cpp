#include "virgil/plan/scaling.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "virgil/model/step_tape.h"
#include "virgil/plan/estimates.h"
#include "virgil/plan/planning_traits.h"
#include "virgil/plan/step_work.h"

namespace virgil {

namespace {

constexpr double kReached = 0.8;  // of a wire's rate, by collectives of many MB
constexpr double kMicrosecond = 1e-6;

double ring_seconds(double bytes, std::int64_t size, double bytes_per_s, double latency_s) {
  const auto steps = static_cast<double>(size - 1);
  return bytes * steps / static_cast<double>(size) / bytes_per_s + steps * latency_s;
}

/// A bucket of gradients as the passes of a step meet it.
struct PassedBucket {
  std::size_t index = 0;  // ParameterLayout's
  Life life;              // of the tape's calls
};

/// In the order in which the backward pass completes them.
std::vector<PassedBucket> passed_buckets(const Tape& tape) {
  std::vector<PassedBucket> buckets;
  for (const auto& [bucket, life] : bucket_lives(tape)) buckets.push_back({static_cast<std::size_t>(bucket), life});
  std::ranges::sort(buckets, {}, [](const PassedBucket& bucket) { return bucket.life.last; });
  return buckets;
}

/// The first call that the blocks' forward pass is done before.
std::size_t first_call_of_head(const Tape& tape) {
  const auto makes_logits = [&](const Call& call) {
    bool makes = false;
    for_each_operand(call, [&](std::string_view /*name*/, const ConstTensorView& view, ops::Access access) {
      const bool is_logits = tape.tensors()[static_cast<std::size_t>(view.tensor())].slot == PlanSlot::kLogits;
      makes = makes || (access == ops::Access::kWrite && is_logits);
    });
    return makes;
  };
  return static_cast<std::size_t>(std::ranges::find_if(tape.calls(), makes_logits) - tape.calls().begin());
}

}  // namespace

std::vector<Cluster> usual_clusters(std::int64_t cards_per_machine) {
  const Link inside[] = {{"PCIe 4 x16", kReached * 32e9, 5 * kMicrosecond},
                         {"NVLink 3", kReached * 300e9, 2 * kMicrosecond},
                         {"NVLink 4", kReached * 450e9, 2 * kMicrosecond}};
  const Link between[] = {{"100 Gb/s", kReached * 12.5e9, 10 * kMicrosecond}, {"400 Gb/s", kReached * 50e9, 10 * kMicrosecond}};
  std::vector<Cluster> clusters;
  for (const Link& near : inside) {
    for (const Link& far : between) {
      clusters.push_back({.inside = near, .between = far, .cards_per_machine = cards_per_machine});
    }
  }
  return clusters;
}

double collective_seconds(const Cluster& cluster, std::int64_t gpus, double bytes) {
  const std::int64_t in_machine = std::min(gpus, cluster.gpus_per_machine);
  const std::int64_t machines = ceil_div(gpus, cluster.gpus_per_machine);
  const double cards_bytes_per_s = cluster.between.bytes_per_s * static_cast<double>(cluster.cards_per_machine);
  return ring_seconds(bytes, in_machine, cluster.inside.bytes_per_s, cluster.inside.latency_s) +
         ring_seconds(bytes, machines, cards_bytes_per_s, cluster.between.latency_s);
}

StepTimeline run_timeline(const StepTimes& times) {
  StepTimeline result{.gather_s = times.gather_s};
  double now = 0;                             // of the computation
  double sums_done = 0;                       // of the reductions started so far
  std::map<std::int64_t, double> free_after;  // when a place's last reduction has ended
  const auto wait_for = [&](std::size_t bucket, std::int64_t place) {
    const auto found = free_after.find(place >= 0 ? place : -1 - static_cast<std::int64_t>(bucket));
    if (found == free_after.end() || found->second <= now) return;
    result.stalled_s += found->second - now;
    now = found->second;
  };
  for (std::int64_t micro_step = 0; micro_step < times.micro_steps; ++micro_step) {
    const bool is_last = micro_step + 1 == times.micro_steps;
    const bool reduces = is_last || times.reduces_every_micro_step;
    now += times.forward_s;
    for (std::size_t b = 0; b < times.buckets.size(); ++b) {
      if (times.buckets[b].claimed_by_head) wait_for(b, times.buckets[b].place);
    }
    now += times.head_s;
    result.compute_s += times.forward_s + times.head_s;
    for (std::size_t b = 0; b < times.buckets.size(); ++b) {
      const BucketTimes& bucket = times.buckets[b];
      if (!bucket.claimed_by_head) wait_for(b, bucket.place);
      now += bucket.backward_s;
      result.compute_s += bucket.backward_s;
      if (is_last && bucket.backward_s > 0) result.late_s = std::max(0.0, sums_done - now);
      if (!reduces) continue;
      sums_done = std::max(sums_done, now) + bucket.reduce_s;
      if (times.reduces_every_micro_step) {
        free_after[bucket.place >= 0 ? bucket.place : -1 - static_cast<std::int64_t>(b)] = sums_done;
      }
    }
  }
  const double sums_ready = std::max(now, sums_done);
  result.exposed_s = sums_ready - result.compute_s;
  result.step_s = sums_ready + times.gather_s;
  return result;
}

StepTimes step_times(const TrainingShape& shape, double micro_step_s, const Cluster& cluster) {
  const DataParallel& parallel = shape.parallel;
  const StepShape step = *plan_request(shape).step;
  const ParameterLayout layout = parameter_layout(shape);
  const GradientLayout places(layout, parallel.shards_gradients());
  const Architecture model = trainable(shape.model);
  const Tape tape = record_step(model, step, true, layout, places, choose_logits_rows(model, step, PlanningTraits()),
                                LogitsChunks::kOneOfEachSize);
  const auto work = [&](std::size_t begin, std::size_t end) { return calls_work(tape, begin, end, step.dtype); };
  const std::size_t num_calls = tape.calls().size();
  const double seconds_per_work = micro_step_s / work(0, num_calls);
  const auto is_of_layer = [&](const PassedBucket& passed) {
    return layout.buckets()[passed.index].kind == BucketKind::kLayer;
  };
  const std::vector<PassedBucket> buckets = passed_buckets(tape);
  auto layers_left = std::ranges::count_if(buckets, is_of_layer);
  const std::size_t head_begin = first_call_of_head(tape);
  const std::int64_t blocks_begin = std::ranges::find_if(buckets, is_of_layer)->life.first;
  auto done = static_cast<std::size_t>(blocks_begin);
  StepTimes times{.forward_s = work(0, head_begin) * seconds_per_work,
                  .head_s = work(head_begin, done) * seconds_per_work,
                  .micro_steps = shape.grad_accum_steps,
                  .reduces_every_micro_step = parallel.shards_gradients()};
  for (const PassedBucket& passed : buckets) {
    const ParameterBucket& bucket = layout.buckets()[passed.index];
    const auto seconds = [&](DType dtype) {
      return collective_seconds(cluster, parallel.processes,
                                static_cast<double>(checked_multiply(bucket.num_elements, size_of(dtype))));
    };
    double backward_work = 0;
    if (is_of_layer(passed)) {
      // The little that follows the first layer is counted with it.
      const std::size_t end = --layers_left == 0 ? num_calls : static_cast<std::size_t>(passed.life.last) + 1;
      backward_work = work(done, end);
      done = end;
    }
    times.buckets.push_back({.backward_s = backward_work * seconds_per_work,
                             .reduce_s = seconds(parallel.wire) + (parallel.shards_optimizer() ? 0 : seconds(DType::kFloat32)),
                             .place = places.offset_of(passed.index),
                             .claimed_by_head = passed.life.first < blocks_begin});
    if (parallel.shards_optimizer()) times.gather_s += seconds(shape.dtype);
  }
  return times;
}

double predicted_micro_step_s(const TrainingShape& shape, double tflops, double share) {
  TrainingShape straight = shape;
  straight.recompute = Recompute::kNone;
  const double tokens = static_cast<double>(checked_multiply(shape.batch_size, shape.model.block_size));
  const double flops = count_flops(trainable(shape.model)).training() * tokens;
  return flops / (tflops * 1e12 * share) * step_work(shape, PlanningTraits()) / step_work(straight, PlanningTraits());
}

std::vector<ScalingPoint> predict_scaling(const TrainingShape& shape, double micro_step_s, const Cluster& cluster,
                                          std::span<const std::int64_t> gpus) {
  const auto tokens_per_gpu =
      static_cast<double>(checked_multiply(checked_multiply(shape.batch_size, shape.grad_accum_steps), shape.model.block_size));
  const double alone = tokens_per_gpu / (micro_step_s * static_cast<double>(shape.grad_accum_steps));
  std::vector<ScalingPoint> points;
  for (const std::int64_t count : gpus) {
    TrainingShape each = shape;
    each.parallel.processes = count;
    ScalingPoint point{.gpus = count,
                       .tokens_per_step = checked_multiply(each.sequences_per_step(), shape.model.block_size),
                       .timeline = run_timeline(step_times(each, micro_step_s, cluster))};
    point.tokens_per_s = static_cast<double>(count) * tokens_per_gpu / point.timeline.step_s;
    point.efficiency = point.tokens_per_s / (static_cast<double>(count) * alone);
    points.push_back(point);
  }
  return points;
}

}  // namespace virgil
