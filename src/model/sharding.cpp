#include "virgil/model/sharding.h"

#include <algorithm>
#include <map>

#include "virgil/base/error.h"

namespace virgil {

FlatTensor FlatTensor::whole(const ParameterLayout& layout, TensorView view) {
  return whole(layout, {.num_elements = layout.flat_elements(), .storage = view.dtype()}, view);
}

FlatTensor FlatTensor::part(const ParameterLayout& layout, TensorView view, std::int64_t rank) {
  return part(layout, {.num_elements = layout.flat_elements(), .storage = view.dtype()}, view, rank);
}

FlatTensor FlatTensor::whole(const ParameterLayout& layout, const FlatExtent& extent, TensorView view) {
  VIRGIL_CHECK(view.num_elements() == extent.storage.units_for(extent.num_elements), "{} units for {} elements",
               view.num_elements(), extent.num_elements);
  return make(layout, extent, view, -1);
}

FlatTensor FlatTensor::part(const ParameterLayout& layout, const FlatExtent& extent, TensorView view, std::int64_t rank) {
  VIRGIL_CHECK(rank >= 0 && rank < layout.num_shards() &&
                   view.num_elements() == extent.storage.units_for(extent.num_elements / layout.num_shards()),
               "part {} of {} with {} units for {} elements", rank, layout.num_shards(), view.num_elements(),
               extent.num_elements);
  return make(layout, extent, view, rank);
}

FlatTensor FlatTensor::make(const ParameterLayout& layout, const FlatExtent& extent, TensorView view, std::int64_t rank) {
  VIRGIL_CHECK(view.dtype() == extent.storage.unit, "{} kept as {}", name_of(extent.storage), name_of(view.dtype()));
  VIRGIL_CHECK(ParameterLayout::kAlignment % extent.storage.block_elements == 0, "blocks of {} values in tensors aligned to {}",
               extent.storage.block_elements, ParameterLayout::kAlignment);
  FlatTensor tensor;
  tensor.layout_ = &layout;
  tensor.extent_ = extent;
  tensor.view_ = view;
  tensor.rank_ = rank;
  return tensor;
}

std::size_t FlatTensor::bucket_of(std::int64_t unit) const {
  return layout_->bucket_of(unit / extent_.storage.block_units * extent_.storage.block_elements, extent_.per);
}

TensorView FlatTensor::slice(std::int64_t first, std::int64_t count) const {
  if (is_whole()) return view_.slice(first - units(extent_.first), {count});
  const std::size_t index = bucket_of(first);
  const FlatRun bucket = layout_->buckets()[index].run(extent_.per);
  const std::int64_t part_first = bucket.first + rank_ * (bucket.count / layout_->num_shards());
  return part_of_bucket(index, rank_).slice(first - units(part_first), {count});
}

TensorView FlatTensor::part_of_bucket(std::size_t index, std::int64_t rank) const {
  const FlatRun bucket = layout_->buckets()[index].run(extent_.per);
  const std::int64_t part = bucket.count / layout_->num_shards();
  const std::int64_t before = bucket.first - extent_.first;  // in the whole
  if (is_whole()) return view_.slice(units(before + rank * part), {units(part)});
  VIRGIL_CHECK(rank == rank_, "part {} of a tensor that holds part {}", rank, rank_);
  return view_.slice(units(before / layout_->num_shards()), {units(part)});
}

void FlatTensor::for_each_piece(std::int64_t first, std::int64_t count,
                                const std::function<void(std::int64_t, TensorView)>& visit) const {
  if (is_whole()) {
    visit(first, slice(first, count));
  } else {
    for_each_piece_of_rank(rank_, first, count, visit);
  }
}

void FlatTensor::for_each_piece_of_rank(std::int64_t rank, std::int64_t first, std::int64_t count,
                                        const std::function<void(std::int64_t, TensorView)>& visit) const {
  const std::int64_t end = first + count;
  for (std::size_t b = bucket_of(first); b < layout_->buckets().size(); ++b) {
    const FlatRun bucket = layout_->buckets()[b].run(extent_.per);
    if (units(bucket.first) >= end) return;
    const std::int64_t part = bucket.count / layout_->num_shards();
    const std::int64_t part_first = units(bucket.first + rank * part);
    const std::int64_t from = std::max(first, part_first);
    const std::int64_t to = std::min(end, part_first + units(part));
    if (from < to) visit(from, part_of_bucket(b, rank).slice(from - part_first, {to - from}));
  }
}

GradientLayout::GradientLayout(const ParameterLayout& layout, bool windowed) {
  std::map<int, std::int64_t> layers;  // elements of each, of those of its buckets that have been seen
  std::int64_t largest_layer = 0;
  for (const ParameterBucket& bucket : layout.buckets()) {
    const bool takes_turns = windowed && bucket.kind == BucketKind::kLayer;
    std::int64_t& end = takes_turns ? layers[bucket.layer] : num_elements_;
    offsets_.push_back(end);
    end += bucket.num_elements;
    if (takes_turns) largest_layer = std::max(largest_layer, end);
  }
  if (largest_layer == 0) return;
  for (std::size_t b = 0; b < offsets_.size(); ++b) {
    const ParameterBucket& bucket = layout.buckets()[b];
    if (bucket.kind == BucketKind::kLayer) offsets_[b] += num_elements_ + bucket.layer % 2 * largest_layer;
  }
  num_elements_ += 2 * largest_layer;
}

TensorView GradientLayout::view_of(const ParameterLayout& layout, const ParameterSpec& spec, TensorView gradients) const {
  const std::size_t bucket = layout.bucket_of(spec.offset);
  return gradients.slice(offsets_[bucket] + spec.offset - layout.buckets()[bucket].offset, spec.shape);
}

}  // namespace virgil
