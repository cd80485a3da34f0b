#include "virgil/model/sharding.h"

#include <algorithm>

#include "virgil/base/error.h"

namespace virgil {

FlatTensor FlatTensor::whole(const ParameterLayout& layout, TensorView view) {
  VIRGIL_CHECK(view.num_elements() == layout.flat_elements(), "{} of {} elements", view.num_elements(), layout.flat_elements());
  FlatTensor tensor;
  tensor.layout_ = &layout;
  tensor.view_ = view;
  return tensor;
}

FlatTensor FlatTensor::part(const ParameterLayout& layout, TensorView view, std::int64_t rank) {
  VIRGIL_CHECK(rank >= 0 && rank < layout.num_shards() && view.num_elements() == layout.flat_elements() / layout.num_shards(),
               "part {} of {} with {} of {} elements", rank, layout.num_shards(), view.num_elements(), layout.flat_elements());
  FlatTensor tensor;
  tensor.layout_ = &layout;
  tensor.view_ = view;
  tensor.rank_ = rank;
  return tensor;
}

TensorView FlatTensor::part_of_bucket(std::size_t index, std::int64_t rank) const {
  const ParameterBucket& bucket = layout_->buckets()[index];
  const std::int64_t part = bucket.num_elements / layout_->num_shards();
  if (is_whole()) return view_.slice(bucket.offset + rank * part, {part});
  VIRGIL_CHECK(rank == rank_, "part {} of a tensor that holds part {}", rank, rank_);
  return view_.slice(bucket.offset / layout_->num_shards(), {part});
}

void FlatTensor::for_each_piece(std::int64_t first, std::int64_t count,
                                const std::function<void(std::int64_t, TensorView)>& visit) const {
  if (is_whole()) {
    visit(first, view_.slice(first, {count}));
  } else {
    for_each_piece_of_rank(rank_, first, count, visit);
  }
}

void FlatTensor::for_each_piece_of_rank(std::int64_t rank, std::int64_t first, std::int64_t count,
                                        const std::function<void(std::int64_t, TensorView)>& visit) const {
  const std::int64_t end = first + count;
  for (std::size_t b = layout_->bucket_of(first); b < layout_->buckets().size(); ++b) {
    const ParameterBucket& bucket = layout_->buckets()[b];
    if (bucket.offset >= end) return;
    const std::int64_t part = bucket.num_elements / layout_->num_shards();
    const std::int64_t part_first = bucket.offset + rank * part;
    const std::int64_t from = std::max(first, part_first);
    const std::int64_t to = std::min(end, part_first + part);
    if (from < to) visit(from, part_of_bucket(b, rank).slice(from - part_first, {to - from}));
  }
}

GradientLayout::GradientLayout(const ParameterLayout& layout, bool windowed) {
  std::int64_t largest_layer = 0;
  for (const ParameterBucket& bucket : layout.buckets()) {
    const bool takes_turns = windowed && bucket.kind == BucketKind::kLayer;
    offsets_.push_back(takes_turns ? 0 : num_elements_);
    if (takes_turns) {
      largest_layer = std::max(largest_layer, bucket.num_elements);
    } else {
      num_elements_ += bucket.num_elements;
    }
  }
  if (largest_layer == 0) return;
  for (std::size_t b = 0; b < offsets_.size(); ++b) {
    const ParameterBucket& bucket = layout.buckets()[b];
    if (bucket.kind == BucketKind::kLayer) offsets_[b] = num_elements_ + bucket.layer % 2 * largest_layer;
  }
  num_elements_ += 2 * largest_layer;
}

TensorView GradientLayout::view_of(const ParameterLayout& layout, const ParameterSpec& spec, TensorView gradients) const {
  const std::size_t bucket = layout.bucket_of(spec.offset);
  return gradients.slice(offsets_[bucket] + spec.offset - layout.buckets()[bucket].offset, spec.shape);
}

}  // namespace virgil
