// Where the parameters of a model lie: the flat buffer that holds them all, and its runs that are updated, reduced and divided
// together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "virgil/base/shape.h"
#include "virgil/model/architecture.h"
#include "virgil/model/parameter_groups.h"
#include "virgil/model/parameter_table.h"

namespace virgil {

[[nodiscard]] BucketKind bucket_kind(const ParameterSpec& spec);

/// Numbers [first, first + count) of a flat buffer.
struct FlatRun {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// A run of the flat buffer: one group.
struct ParameterRange {
  std::int64_t offset = 0;
  std::int64_t num_elements = 0;  // includes alignment gaps, which are zero and stay zero
  FlatRun neurons = {};           // the same of the buffer that has a number for each neuron
  std::size_t group = 0;

  [[nodiscard]] FlatRun run(StatePer per) const { return per == StatePer::kElement ? FlatRun{offset, num_elements} : neurons; }
};

/// A run of the flat buffer that is reduced and, between processes, divided as a whole.
struct ParameterBucket {
  BucketKind kind = BucketKind::kLayer;
  int layer = -1;  // of kLayer
  std::int64_t offset = 0;
  std::int64_t num_elements = 0;  // a multiple of num_shards() * kAlignment, gaps included
  std::int64_t lone_offset = 0;   // what `offset` would be with one shard
  FlatRun neurons = {};           // divided as the elements are; none where an optimizer does not need whole tensors
  std::size_t group = 0;

  [[nodiscard]] FlatRun run(StatePer per) const { return per == StatePer::kElement ? FlatRun{offset, num_elements} : neurons; }
};

/// Pure function of an Architecture and groups. Each group is one run of the flat buffer, so that the optimizer makes one pass
/// over it, and groups of one optimizer stand side by side. Inside a group tensors follow the model from the embeddings to the
/// head. Each starts at a multiple of kAlignment elements, but for those that are joined to the one before, and each bucket so
/// that it divides into as many equal, aligned parts as there are shards: rank r of R processes owns part r of every bucket.
/// Where an optimizer needs whole tensors, none lies in two parts. What has a number for each neuron of a matrix lies in a
/// buffer of its own, in the same order and parts.
class ParameterLayout {
 public:
  static constexpr std::int64_t kAlignment = 64;

  /// Throws UserError when the total overflows, or for groups that do not fit the model. num_shards >= 1.
  explicit ParameterLayout(const Architecture& model, std::int64_t num_shards = 1,
                           std::vector<ParameterGroup> groups = default_groups());

  /// In model order (as a reader of the model meets them).
  [[nodiscard]] std::span<const ParameterSpec> parameters() const { return parameters_; }
  /// Throws InternalError for an unknown name.
  [[nodiscard]] const ParameterSpec& find(std::string_view name) const;
  [[nodiscard]] bool contains(std::string_view name) const { return index_.contains(std::string(name)); }
  [[nodiscard]] std::span<const ParameterGroup> groups() const { return groups_; }
  /// In order of offset; none of a group that has no parameters.
  [[nodiscard]] std::span<const ParameterRange> ranges() const { return ranges_; }
  /// In order of offset; together the whole flat buffer.
  [[nodiscard]] std::span<const ParameterBucket> buckets() const { return buckets_; }
  [[nodiscard]] std::int64_t num_shards() const { return num_shards_; }
  /// Index of a bucket; buckets().size() where the model has none such. `layer` counts for kLayer only.
  [[nodiscard]] std::size_t find_bucket(BucketKind kind, std::int64_t layer = -1) const;
  /// The bucket that holds number `offset` of the flat buffer of elements, or of neurons.
  [[nodiscard]] std::size_t bucket_of(std::int64_t offset, StatePer per = StatePer::kElement) const;
  /// Trained values: the sum of num_elements() (padding rows count, alignment gaps do not).
  [[nodiscard]] std::int64_t num_parameters() const { return num_parameters_; }
  /// As published for a model and as a checkpoint holds them: without padding rows.
  [[nodiscard]] std::int64_t num_stored_parameters() const { return num_stored_parameters_; }
  /// Elements of the flat buffer, gaps included.
  [[nodiscard]] std::int64_t flat_elements() const { return flat_elements_; }
  /// Of the flat buffer that has a number for each neuron.
  [[nodiscard]] std::int64_t flat_neurons() const { return flat_neurons_; }

 private:
  void assign_to_groups();
  /// In which groups lie in the flat buffer.
  [[nodiscard]] std::vector<std::size_t> order_of_groups() const;
  void place_group(std::size_t group);
  void place_bucket(ParameterBucket bucket, std::span<ParameterSpec* const> members);

  std::vector<ParameterSpec> parameters_;
  std::vector<ParameterGroup> groups_;
  std::unordered_map<std::string, std::size_t> index_;  // of parameters_, by name
  std::vector<ParameterRange> ranges_;
  std::vector<ParameterBucket> buckets_;
  std::int64_t num_shards_ = 1;
  std::int64_t num_parameters_ = 0;
  std::int64_t num_stored_parameters_ = 0;
  std::int64_t flat_elements_ = 0;
  std::int64_t flat_neurons_ = 0;
  std::int64_t lone_elements_ = 0;  // what flat_elements_ would be with one shard
};

}  // namespace virgil
