#include "virgil/model/parameter_layout.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "virgil/base/error.h"

namespace virgil {

namespace {

BucketKind bucket_kind(const ParameterSpec& spec) {
  if (spec.shape.rank() < 2) return BucketKind::kVectors;
  if (spec.layer >= 0) return BucketKind::kLayer;
  return spec.part == TensorGroup::kHead ? BucketKind::kHead : BucketKind::kEmbeddings;
}

std::int64_t aligned_elements(const ParameterSpec& spec) { return round_up(spec.num_elements(), ParameterLayout::kAlignment); }

/// The shard of each tensor, such that the fullest shard has little: the largest tensor first, to where there is least.
std::vector<std::size_t> share_out(std::span<ParameterSpec* const> members, std::int64_t num_shards) {
  std::vector<std::size_t> by_size(members.size());
  std::iota(by_size.begin(), by_size.end(), std::size_t{0});
  std::ranges::stable_sort(by_size, std::ranges::greater(), [&](std::size_t i) { return members[i]->num_elements(); });
  std::vector<std::int64_t> loads(static_cast<std::size_t>(num_shards));
  std::vector<std::size_t> shards(members.size());
  for (const std::size_t i : by_size) {
    const auto least = std::ranges::min_element(loads);
    *least = checked_add(*least, aligned_elements(*members[i]));
    shards[i] = static_cast<std::size_t>(least - loads.begin());
  }
  return shards;
}

/// Places the tensors from `offset` on, none in two of the shards, and returns what they take.
std::int64_t place_whole_tensors(std::span<ParameterSpec* const> members, std::int64_t offset, std::int64_t num_shards) {
  const std::vector<std::size_t> shards = share_out(members, num_shards);
  std::vector<std::int64_t> ends(static_cast<std::size_t>(num_shards));
  for (std::size_t i = 0; i < members.size(); ++i) {
    members[i]->offset = ends[shards[i]];  // in its shard
    ends[shards[i]] += aligned_elements(*members[i]);
  }
  const std::int64_t part = *std::ranges::max_element(ends);
  for (std::size_t i = 0; i < members.size(); ++i) {
    const std::int64_t before = checked_multiply(static_cast<std::int64_t>(shards[i]), part);
    members[i]->offset = checked_add(members[i]->offset, checked_add(offset, before));
  }
  return checked_multiply(part, num_shards);
}

/// Places the tensors from `offset` on, one after the other, and returns what they take.
std::int64_t place_elements(std::span<ParameterSpec* const> members, std::int64_t offset, std::int64_t num_shards) {
  std::int64_t end = offset;
  for (ParameterSpec* spec : members) {
    spec->offset = end;
    end = checked_add(end, aligned_elements(*spec));
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
  ParameterRange range{.offset = flat_elements_, .num_elements = 0, .group = group};
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
  ranges_.push_back(range);
}

void ParameterLayout::place_bucket(ParameterBucket bucket, std::span<ParameterSpec* const> members) {
  bucket.offset = flat_elements_;
  bucket.lone_offset = lone_elements_;
  for (ParameterSpec* spec : members) {
    spec->lone_offset = lone_elements_;
    lone_elements_ = checked_add(lone_elements_, aligned_elements(*spec));
    num_parameters_ = checked_add(num_parameters_, spec->num_elements());
    num_stored_parameters_ += spec->stored_shape.num_elements();  // at most num_parameters_
  }
  const bool whole = groups_[bucket.group].optimizer.shard_rule == ShardRule::kWholeTensors;
  bucket.num_elements =
      whole ? place_whole_tensors(members, bucket.offset, num_shards_) : place_elements(members, bucket.offset, num_shards_);
  flat_elements_ = checked_add(flat_elements_, bucket.num_elements);
  buckets_.push_back(bucket);
}

std::size_t ParameterLayout::find_bucket(BucketKind kind, std::int64_t layer) const {
  const auto matches = [&](const ParameterBucket& bucket) {
    return bucket.kind == kind && (kind != BucketKind::kLayer || bucket.layer == layer);
  };
  return static_cast<std::size_t>(std::ranges::find_if(buckets_, matches) - buckets_.begin());
}

std::size_t ParameterLayout::bucket_of(std::int64_t offset) const {
  VIRGIL_CHECK(offset >= 0 && offset < flat_elements_, "element {} of {}", offset, flat_elements_);
  const auto next = std::ranges::upper_bound(buckets_, offset, {}, &ParameterBucket::offset);
  return static_cast<std::size_t>(next - buckets_.begin()) - 1;
}

const ParameterSpec& ParameterLayout::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  VIRGIL_CHECK(found != index_.end(), "no parameter is named {}", name);
  return parameters_[found->second];
}

}  // namespace virgil
