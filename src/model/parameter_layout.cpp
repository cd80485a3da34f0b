#include "virgil/model/parameter_layout.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "virgil/base/error.h"

namespace virgil {

BucketKind bucket_kind(const ParameterSpec& spec) {
  if (spec.shape.rank() < 2) return BucketKind::kVectors;
  if (spec.layer >= 0) return BucketKind::kLayer;
  return spec.part == TensorGroup::kHead ? BucketKind::kHead : BucketKind::kEmbeddings;
}

namespace {

/// Where a tensor begins that follows what ends at `end`.
std::int64_t begin_after(std::int64_t end, const ParameterSpec& spec) {
  return spec.joined ? end : round_up(end, ParameterLayout::kAlignment);
}

/// Tensors [first, last) that lie one behind the other.
struct Joined {
  std::size_t first = 0;
  std::size_t last = 0;
  std::int64_t num_elements = 0;
};

std::vector<Joined> join(std::span<ParameterSpec* const> members) {
  std::vector<Joined> runs;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (!members[i]->joined) runs.push_back({.first = i});
    runs.back().last = i + 1;
    runs.back().num_elements = checked_add(runs.back().num_elements, members[i]->num_elements());
  }
  return runs;
}

/// The shard of each tensor, such that the fullest shard has little: the largest first, to where there is least.
std::vector<std::size_t> share_out(std::span<ParameterSpec* const> members, std::int64_t num_shards) {
  std::vector<Joined> runs = join(members);
  std::ranges::stable_sort(runs, std::ranges::greater(), &Joined::num_elements);
  std::vector<std::int64_t> loads(static_cast<std::size_t>(num_shards));
  std::vector<std::size_t> shards(members.size());
  for (const Joined& run : runs) {
    const auto least = std::ranges::min_element(loads);
    *least = checked_add(*least, round_up(run.num_elements, ParameterLayout::kAlignment));
    for (std::size_t i = run.first; i < run.last; ++i) shards[i] = static_cast<std::size_t>(least - loads.begin());
  }
  return shards;
}

/// Places the numbers of the tensors from `offset` on, each in its shard, and returns what they take. A tensor without any
/// stays as it is.
std::int64_t place_in_shards(std::span<ParameterSpec* const> members, std::span<const std::size_t> shards, StatePer per,
                             std::int64_t ParameterSpec::*place, std::int64_t offset, std::int64_t num_shards) {
  std::vector<std::int64_t> ends(static_cast<std::size_t>(num_shards));
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i]->count(per) == 0) continue;
    std::int64_t& end = ends[shards[i]];
    members[i]->*place = begin_after(end, *members[i]);  // in its shard
    end = checked_add(members[i]->*place, members[i]->count(per));
  }
  const std::int64_t part = round_up(*std::ranges::max_element(ends), ParameterLayout::kAlignment);
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i]->count(per) == 0) continue;
    const std::int64_t before = checked_multiply(static_cast<std::int64_t>(shards[i]), part);
    members[i]->*place = checked_add(members[i]->*place, checked_add(offset, before));
  }
  return checked_multiply(part, num_shards);
}

/// Places the tensors from `offset` on, one after the other, and returns what they take.
std::int64_t place_elements(std::span<ParameterSpec* const> members, std::int64_t offset, std::int64_t num_shards) {
  std::int64_t end = offset;
  for (ParameterSpec* spec : members) {
    spec->offset = begin_after(end, *spec);
    end = checked_add(spec->offset, spec->num_elements());
  }
  return round_up(end - offset, checked_multiply(ParameterLayout::kAlignment, num_shards));
}

}  // namespace

ParameterLayout::ParameterLayout(const Architecture& model, std::int64_t num_shards, std::vector<ParameterGroup> groups)
    : parameters_(list_parameters(model)), groups_(std::move(groups)), num_shards_(num_shards) {
  VIRGIL_CHECK(num_shards >= 1, "{} shards", num_shards);
  assign_to_groups();
  for (const std::size_t group : order_of_groups()) place_group(group);
  for (std::size_t i = 0; i < parameters_.size(); ++i) index_.emplace(parameters_[i].name, i);
}

void ParameterLayout::assign_to_groups() {
  std::vector<GroupedParameter> seen;
  for (const ParameterSpec& spec : parameters_) seen.push_back({spec.name, bucket_kind(spec)});
  const std::vector<std::size_t> taken_by = assign_groups(seen, groups_);
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    parameters_[i].group = taken_by[i];
    parameters_[i].decayed = groups_[taken_by[i]].decays();
    if (!parameters_[i].joined || taken_by[i] == taken_by[i - 1]) continue;
    throw user_error("param_groups: {} and {} are read as one matrix, and their groups differ; write patterns that take both",
                     parameters_[i - 1].name, parameters_[i].name);
  }
}

std::vector<std::size_t> ParameterLayout::order_of_groups() const {
  std::vector<std::size_t> order(groups_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // Groups of an optimizer stand where its first one does: its states are then one run each.
  std::ranges::stable_sort(order, {}, [&](std::size_t group) {
    const auto same = [&](const ParameterGroup& other) { return other.optimizer.kind == groups_[group].optimizer.kind; };
    return std::ranges::find_if(groups_, same) - groups_.begin();
  });
  return order;
}

void ParameterLayout::place_group(std::size_t group) {
  ParameterRange range{.offset = flat_elements_, .neurons = {.first = flat_neurons_}, .group = group};
  ParameterBucket bucket{.group = group};
  std::vector<ParameterSpec*> members;
  for (ParameterSpec& spec : parameters_) {
    if (spec.group != group) continue;
    const BucketKind kind = bucket_kind(spec);
    const int layer = kind == BucketKind::kLayer ? spec.layer : -1;
    if (!members.empty() && (bucket.kind != kind || bucket.layer != layer)) {
      place_bucket(bucket, members);
      members.clear();
    }
    bucket.kind = kind;
    bucket.layer = layer;
    members.push_back(&spec);
  }
  if (members.empty()) return;
  place_bucket(bucket, members);
  range.num_elements = flat_elements_ - range.offset;
  range.neurons.count = flat_neurons_ - range.neurons.first;
  ranges_.push_back(range);
}

void ParameterLayout::place_bucket(ParameterBucket bucket, std::span<ParameterSpec* const> members) {
  bucket.offset = flat_elements_;
  bucket.lone_offset = lone_elements_;
  for (ParameterSpec* spec : members) {
    spec->lone_offset = begin_after(lone_elements_, *spec);
    lone_elements_ = checked_add(spec->lone_offset, spec->num_elements());
    num_parameters_ = checked_add(num_parameters_, spec->num_elements());
    num_stored_parameters_ += spec->stored_shape.num_elements();  // at most num_parameters_
  }
  lone_elements_ = round_up(lone_elements_, kAlignment);
  bucket.neurons.first = flat_neurons_;
  if (groups_[bucket.group].optimizer.shard_rule == ShardRule::kWholeTensors) {
    const std::vector<std::size_t> shards = share_out(members, num_shards_);
    bucket.num_elements =
        place_in_shards(members, shards, StatePer::kElement, &ParameterSpec::offset, flat_elements_, num_shards_);
    bucket.neurons.count =
        place_in_shards(members, shards, StatePer::kNeuron, &ParameterSpec::neuron_offset, flat_neurons_, num_shards_);
  } else {
    bucket.num_elements = place_elements(members, bucket.offset, num_shards_);
  }
  flat_elements_ = checked_add(flat_elements_, bucket.num_elements);
  flat_neurons_ = checked_add(flat_neurons_, bucket.neurons.count);
  buckets_.push_back(bucket);
}

std::size_t ParameterLayout::find_bucket(BucketKind kind, std::int64_t layer) const {
  const auto matches = [&](const ParameterBucket& bucket) {
    return bucket.kind == kind && (kind != BucketKind::kLayer || bucket.layer == layer);
  };
  return static_cast<std::size_t>(std::ranges::find_if(buckets_, matches) - buckets_.begin());
}

std::size_t ParameterLayout::bucket_of(std::int64_t offset, StatePer per) const {
  const std::int64_t end = per == StatePer::kElement ? flat_elements_ : flat_neurons_;
  VIRGIL_CHECK(offset >= 0 && offset < end, "number {} of {}", offset, end);
  const auto next =
      std::ranges::upper_bound(buckets_, offset, {}, [&](const ParameterBucket& bucket) { return bucket.run(per).first; });
  return static_cast<std::size_t>(next - buckets_.begin()) - 1;
}

const ParameterSpec& ParameterLayout::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  VIRGIL_CHECK(found != index_.end(), "no parameter is named {}", name);
  return parameters_[found->second];
}

}  // namespace virgil
