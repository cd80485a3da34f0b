#include "virgil/optim/optimizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/philox.h"
#include "virgil/model/float_copy.h"

namespace virgil {
namespace {

using ByParameter = std::map<std::string, std::vector<float>>;

Architecture updated_model() {
  return trainable(
      {.num_layers = 2, .num_heads = 3, .embedding_dim = 24, .block_size = 10, .vocab_size = 65, .biases = kAllBiases});
}

/// Stored values of a parameter, a pure function of its name.
std::vector<float> drawn_values(const ParameterSpec& spec, std::uint32_t site) {
  std::vector<float> values(static_cast<std::size_t>(spec.stored_shape.num_elements()));
  const RandomStream stream{5, RandomPurpose::kInit, site, static_cast<std::uint32_t>(std::hash<std::string>()(spec.name))};
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = random_normal(stream, i);
  return values;
}

/// One rank of a run whose gradients are already the sum.
class UpdatedRank {
 public:
  UpdatedRank(const std::vector<ParameterGroup>& groups, const StepShape& step, const DataParallel& parallel, std::int64_t rank)
      : rank_(rank),
        backend_(make_cpu_backend({.num_threads = 1})),
        plan_(updated_model(), {.step = step, .parallel = parallel, .groups = groups}, backend_->traits()),
        memory_(plan_, backend_->memory()),
        weights_(memory_.flat(plan_, plan_.master_slot(), rank)),
        optimizer_(*backend_, plan_, memory_, {.weight_decay = 0.2, .max_norm = 1, .seed = 9}, rank) {
    for (const PlanItem& item : plan_.items()) std::ranges::fill(memory_.bytes(item.slot), std::byte{0xFF});
    fill(weights_, 0);
    fill(memory_.flat(plan_, PlanSlot::kGradients, rank), 1);
    const float norm = 2;  // halves the gradients
    backend_->copy_from_host(memory_.scalar(PlanScalar::kGradientNorm), std::as_bytes(std::span(&norm, 1)));
    optimizer_.reset();
    for (std::int64_t t = 1; t <= 3; ++t) optimizer_.enqueue_update(t, 1e-2);
  }

  void collect(ByParameter& weights, ByParameter& moments) const {
    collect(weights_, weights);
    collect(optimizer_.states()[0], moments);
  }

 private:
  /// Padding and gaps are zero.
  void fill(const FlatTensor& flat, std::uint32_t site) const {
    backend_->run(ops::SetZero{flat.view()});
    for (const ParameterSpec& spec : plan_.parameters().parameters()) {
      const std::vector<float> values = drawn_values(spec, site);
      flat.for_each_piece(spec.offset, std::ssize(values), [&](std::int64_t first, TensorView piece) {
        copy_floats_to_device(*backend_, piece, part_of(std::span(values), first - spec.offset, piece));
      });
    }
  }

  /// What this rank has updated of each parameter of a flat tensor joins `all`.
  void collect(const FlatTensor& flat, ByParameter& all) const {
    for (const ParameterSpec& spec : plan_.parameters().parameters()) {
      std::vector<float>& values = all[spec.name];
      values.resize(static_cast<std::size_t>(spec.num_elements()));
      const auto copy = [&](std::int64_t first, TensorView piece) {
        copy_floats_to_host(*backend_, part_of(std::span(values), first - spec.offset, piece), piece);
      };
      if (plan_.parallel().shards_optimizer()) {
        flat.for_each_piece_of_rank(rank_, spec.offset, spec.num_elements(), copy);
      } else {
        flat.for_each_piece(spec.offset, spec.num_elements(), copy);
      }
    }
  }

  template <typename T>
  static std::span<T> part_of(std::span<T> values, std::int64_t first, TensorView piece) {
    return values.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(piece.num_elements()));
  }

  std::int64_t rank_;
  std::unique_ptr<Backend> backend_;
  MemoryPlan plan_;
  PlannedMemory memory_;
  FlatTensor weights_;
  Optimizer optimizer_;
};

std::pair<ByParameter, ByParameter> updated(const std::vector<ParameterGroup>& groups, const StepShape& step,
                                            const DataParallel& parallel = {}) {
  ByParameter weights;
  ByParameter moments;
  for (std::int64_t rank = 0; rank < parallel.processes; ++rank) {
    UpdatedRank(groups, step, parallel, rank).collect(weights, moments);
  }
  return {std::move(weights), std::move(moments)};
}

std::vector<StepShape> steps_of_all_types() {
  StepShape single{.batch_size = 1, .length = 8};
  StepShape rounded = single;
  rounded.optimizer_state_dtype = DType::kBFloat16;
  StepShape half = rounded;
  half.dtype = DType::kBFloat16;
  half.master_weights = false;
  return {single, rounded, half};
}

std::vector<ParameterGroup> default_groups_of(const StepShape& step) {
  return default_groups(step.optimizer, step.optimizer_state_dtype);
}

std::vector<ParameterGroup> by_whole_tensors(std::vector<ParameterGroup> groups) {
  for (ParameterGroup& group : groups) group.optimizer.shard_rule = ShardRule::kWholeTensors;
  return groups;
}

TEST(Optimizer, UpdatesTheSameBitsByElementsAndByWholeTensorsOnAnyNumberOfRanks) {
  for (const StepShape& step : steps_of_all_types()) {
    const std::vector<ParameterGroup> groups = default_groups_of(step);
    const auto expected = updated(groups, step);
    for (const std::int64_t processes : {1, 3}) {
      for (const int zero_stage : {0, 1}) {
        const DataParallel parallel{.processes = processes, .zero_stage = zero_stage};
        EXPECT_EQ(updated(groups, step, parallel), expected) << processes << ", stage " << zero_stage;
        EXPECT_EQ(updated(by_whole_tensors(groups), step, parallel), expected)
            << "whole tensors, " << processes << ", stage " << zero_stage;
      }
    }
  }
}

TEST(Optimizer, UpdatesTheSameBitsHoweverParametersAreGrouped) {
  for (const StepShape& step : steps_of_all_types()) {
    std::vector<ParameterGroup> groups = default_groups_of(step);
    const auto expected = updated(groups, step);
    ParameterGroup attention = groups[0];
    attention.name = "attention";
    attention.patterns = {"*.attn.c_attn.weight", "*.h.1.attn.c_proj.weight"};
    groups.insert(groups.begin(), attention);
    // Elements of another place in the flat buffer have other random numbers, where any are drawn.
    if (step.optimizer_state_dtype != StorageType(DType::kFloat32)) continue;
    EXPECT_EQ(updated(groups, step), expected);
    EXPECT_EQ(updated(groups, step, {.processes = 3, .zero_stage = 1}), expected);
  }
}

TEST(Optimizer, AGroupHasItsOwnLearningRateAndWeightDecay) {
  const StepShape step = steps_of_all_types().front();
  std::vector<ParameterGroup> groups = default_groups_of(step);
  const auto plain = updated(groups, step).first;
  ParameterGroup frozen = groups[0];
  frozen.name = "frozen";
  frozen.patterns = {"*.h.0.mlp.*"};
  frozen.learning_rate_factor = 0;
  ParameterGroup undecayed = groups[0];
  undecayed.name = "undecayed";
  undecayed.patterns = {"*.wpe.*"};
  undecayed.weight_decay_factor = 0;
  groups.insert(groups.begin(), {frozen, undecayed});
  const auto changed = updated(groups, step).first;

  const ParameterLayout layout(updated_model());
  for (const ParameterSpec& spec : layout.parameters()) {
    std::vector<float> before = drawn_values(spec, 0);
    before.resize(static_cast<std::size_t>(spec.num_elements()));
    const bool is_frozen = matches_pattern("*.h.0.mlp.*.weight", spec.name);
    EXPECT_EQ(changed.at(spec.name) == before, is_frozen) << spec.name;
    const bool is_other = is_frozen || spec.name == "transformer.wpe.weight";
    EXPECT_EQ(changed.at(spec.name) == plain.at(spec.name), !is_other) << spec.name;
  }
}

}  // namespace
}  // namespace virgil
