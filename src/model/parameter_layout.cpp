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

std::int64_t aligned_numbers(const ParameterSpec& spec, StatePer per) {
  return round_up(spec.count(per), ParameterLayout::kAlignment);
}

/// The shard of each tensor, such that the fullest shard has little: the largest tensor first, to where there is least.
std::vector<std::size_t> share_out(std::span<ParameterSpec* const> members, std::int64_t num_shards) {
  std::vector<std::size_t> by_size(members.size());
  std::iota(by_size.begin(), by_size.end(), std::size_t{0});
  std::ranges::stable_sort(by_size, std::ranges::greater(), [&](std::size_t i) { return members[i]->num_elements(); });
  std::vector<std::int64_t> loads(static_cast<std::size_t>(num_shards));
  std::vector<std::size_t> shards(members.size());
  for (const std::size_t i : by_size) {
    const auto least = std::ranges::min_element(loads);
    *least = checked_add(*least, aligned_numbers(*members[i], StatePer::kElement));
    shards[i] = static_cast<std::size_t>(least - loads.begin());
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
    members[i]->*place = ends[shards[i]];  // in its shard
    ends[shards[i]] += aligned_numbers(*members[i], per);
  }
  const std::int64_t part = *std::ranges::max_element(ends);
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
    spec->offset = end;
    end = checked_add(end, aligned_numbers(*spec, StatePer::kElement));
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
    spec->lone_offset = lone_elements_;
    lone_elements_ = checked_add(lone_elements_, aligned_numbers(*spec, StatePer::kElement));
    num_parameters_ = checked_add(num_parameters_, spec->num_elements());
    num_stored_parameters_ += spec->stored_shape.num_elements();  // at most num_parameters_
  }
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
