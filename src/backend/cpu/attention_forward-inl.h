// The forward pass of attention for some query rows of one head (FlashAttention-2, algorithm 1).
//
// A Highway header, compiled once per target: include it after hwy/highway.h inside a foreach_target source.
#if defined(VIRGIL_ATTENTION_FORWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VIRGIL_ATTENTION_FORWARD_INL_H_
#undef VIRGIL_ATTENTION_FORWARD_INL_H_
#else
#define VIRGIL_ATTENTION_FORWARD_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>

#include "backend/cpu/attend.h"
#include "backend/cpu/attention_pack-inl.h"
#include "backend/cpu/attention_softmax-inl.h"
#include "backend/cpu/attention_tile-inl.h"
#include "backend/cpu/philox_simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// The online softmax of one tile: scores become probabilities relative to the row's largest score so far; sums and row_sum
/// follow when that grows. `is_first`: of these queries' tiles.
template <typename T>
HWY_INLINE void softmax_tile(const AttendScratch& scratch, const TilePlace& place, std::int64_t row_stride, bool is_first,
                             RowPrefetcher<T>& next) {
  const FloatTag d;
  for (std::int64_t row = 0; row < place.num_queries; ++row) {
    next.step();
    float* scores = scratch.scores + row * kAttentionBlock;
    const std::int64_t count = place.seen_keys(row);
    if (count > 0) hide_keys(scores, place, row);
    const float old_max = scratch.row_max[row];
    const float new_max = count > 0 ? std::max(old_max, max_of_row(scores, count)) : old_max;
    if (new_max > old_max && !is_first) {
      const float correction = hn::GetLane(exp2_up_to_127(hn::Set(d, old_max - new_max)));
      scratch.row_sum[row] *= correction;
      scale_row(scratch.sums + row * row_stride, row_stride, correction);
    }
    scratch.row_max[row] = new_max;
    scratch.row_sum[row] += exponentiate_row(scores, count, new_max);
  }
}

/// Multiplies the tile's probabilities by their dropout multipliers.
template <typename T>
HWY_INLINE void drop_tile(const AttendTask<T>& task, const DropoutMask& mask, const AttendScratch& scratch,
                          const TilePlace& place) {
  const FloatTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t row = 0; row < place.num_queries; ++row) {
    const auto query = static_cast<std::uint64_t>(place.first_query - task.first_position + row);
    const std::uint64_t base = task.dropout_base + query * task.dropout_stride + static_cast<std::uint64_t>(place.first_key);
    const std::int64_t count = place.seen_keys(row);
    mask.fill(base, static_cast<std::size_t>(count), scratch.multipliers);
    float* scores = scratch.scores + row * kAttentionBlock;
    for (std::int64_t i = 0; i < count; i += lanes) {
      hn::Store(hn::Mul(hn::Load(d, scores + i), hn::Load(d, scratch.multipliers + i)), d, scores + i);
    }
  }
}

template <typename T>
HWY_INLINE void pack_keys_and_values(const AttendTask<T>& task, const AttendScratch& scratch, std::int64_t num_keys) {
  pack_panels(scratch.key_panels, task.keys, num_keys, task.head_size);
  pack_rows(scratch.values, task.values, 0, num_keys, task.head_size, 1.0F);
}

template <typename T>
HWY_INLINE void pack_queries(const AttendTask<T>& task, const AttendScratch& scratch, std::int64_t begin, std::int64_t end) {
  pack_rows(scratch.queries, task.queries, begin, end, task.head_size, query_scale(task.head_size));
}

/// One tile: its scores, their softmax, and their share of the sums.
template <typename T>
HWY_INLINE void attend_tile(const AttendTask<T>& task, const DropoutMask& mask, const AttendScratch& scratch,
                            const TilePlace& place, bool is_first, RowPrefetcher<T>& next) {
  const std::int64_t stride = padded_head_size(task.head_size);
  multiply_visible(scratch.scores, scratch.queries, scratch.key_panels + place.first_key * stride, place, task.head_size);
  softmax_tile(scratch, place, stride, is_first, next);
  if (task.dropout != nullptr) drop_tile(task, mask, scratch, place);
  multiply_by_keys(scratch.sums, scratch.scores, scratch.values + place.first_key * stride, place, task.head_size, !is_first);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard
