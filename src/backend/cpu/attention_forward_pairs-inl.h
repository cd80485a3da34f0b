// The steps of attention_forward-inl.h on bfloat16 pairs: scores and their softmax are float32, probabilities are rounded to
// bfloat16 before they are multiplied by values.
//
// A Highway header, compiled once per target: include it after hwy/highway.h inside a foreach_target source.
#if defined(VIRGIL_ATTENTION_FORWARD_PAIRS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VIRGIL_ATTENTION_FORWARD_PAIRS_INL_H_
#undef VIRGIL_ATTENTION_FORWARD_PAIRS_INL_H_
#else
#define VIRGIL_ATTENTION_FORWARD_PAIRS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "backend/cpu/attend.h"
#include "backend/cpu/attention_pairs-inl.h"
#include "backend/cpu/attention_softmax-inl.h"
#include "backend/cpu/philox_simd-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// probabilities (64) = bfloat16 of multiplier * 2^(scale * score - max) for the first `count` scores, 0 for the others.
/// Returns the sum of the powers before dropout and rounding. `multipliers` is null without dropout.
HWY_INLINE float exponentiate_to_bfloat16(BFloat16* probabilities, const float* scores, const float* multipliers,
                                          std::int64_t count, float scale, float max) {
  const FloatTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto scales = hn::Set(d, scale);
  const auto maxima = hn::Set(d, max);
  FloatVector sum = hn::Zero(d);
  for (std::int64_t i = 0; i < kAttentionBlock; i += lanes) {
    FloatVector p = hn::Zero(d);
    if (i < count) {
      p = exp2_up_to_127(hn::MulSub(hn::Load(d, scores + i), scales, maxima));
      if (count - i < lanes) p = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(count - i)), p);
      sum = hn::Add(sum, p);
      if (multipliers != nullptr) p = hn::Mul(p, hn::Load(d, multipliers + i));
    }
    WholeVector().store(p, probabilities + i);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

/// The online softmax of one tile.
HWY_INLINE void softmax_tile(const AttendTask<BFloat16>& task, const DropoutMask& mask, const PairAttendScratch& scratch,
                             const TilePlace& place, bool is_first, RowPrefetcher<BFloat16>& next) {
  const FloatTag d;
  const std::int64_t stride = padded_head_size(task.head_size);
  const float scale = query_scale(task.head_size);
  for (std::int64_t row = 0; row < place.num_queries; ++row) {
    next.step();
    float* scores = scratch.scores + row * kAttentionBlock;
    const std::int64_t count = place.seen_keys(row);
    if (count > 0) hide_keys(scores, place, row);
    const float old_max = scratch.row_max[row];
    const float new_max = count > 0 ? std::max(old_max, scale * max_of_row(scores, count)) : old_max;
    if (new_max > old_max && !is_first) {
      const float correction = hn::GetLane(exp2_up_to_127(hn::Set(d, old_max - new_max)));
      scratch.row_sum[row] *= correction;
      scale_row(scratch.sums + row * stride, stride, correction);
    }
    scratch.row_max[row] = new_max;
    const float* multipliers = nullptr;
    if (task.dropout != nullptr) {
      const auto query = static_cast<std::uint64_t>(place.first_query - task.first_position + row);
      const std::uint64_t base = task.dropout_base + query * task.dropout_stride + static_cast<std::uint64_t>(place.first_key);
      mask.fill(base, static_cast<std::size_t>(count), scratch.multipliers);
      multipliers = scratch.multipliers;
    }
    scratch.row_sum[row] +=
        exponentiate_to_bfloat16(scratch.probabilities + row * kAttentionBlock, scores, multipliers, count, scale, new_max);
  }
}

HWY_INLINE void pack_keys_and_values(const AttendTask<BFloat16>& task, const PairAttendScratch& scratch,
                                     std::int64_t num_keys) {
  pack_pair_panels(scratch.key_panels, task.keys, num_keys, task.head_size);
  pack_row_pairs(scratch.values, task.values, 0, num_keys, task.head_size);
}

/// Queries are read where they are.
HWY_INLINE void pack_queries(const AttendTask<BFloat16>& /*task*/, const PairAttendScratch& /*scratch*/, std::int64_t /*begin*/,
                             std::int64_t /*end*/) {}

HWY_INLINE void attend_tile(const AttendTask<BFloat16>& task, const DropoutMask& mask, const PairAttendScratch& scratch,
                            const TilePlace& place, bool is_first, RowPrefetcher<BFloat16>& next) {
  const HeadRows<const BFloat16> queries{task.queries.row(place.first_query - task.first_position), task.queries.stride};
  const std::int64_t block = place.first_key / kAttentionBlock;
  multiply_visible_pairs(scratch.scores, queries, scratch.key_panels + block * pair_panel_elements(task.head_size), place,
                         task.head_size);
  softmax_tile(task, mask, scratch, place, is_first, next);
  multiply_by_key_pairs(scratch.sums, scratch.probabilities,
                        scratch.values + place.first_key * padded_head_size(task.head_size), place, task.head_size, !is_first);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();
#endif

#endif  // include guard
