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

#include <cmath>
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
/// follow when that grows.
HWY_INLINE void softmax_tile(const AttendScratch& scratch, const TilePlace& place, std::int64_t row_stride,
                             RowPrefetcher& next) {
  const FloatTag d;
  for (std::int64_t row = 0; row < place.num_queries; ++row) {
    next.step();
    float* scores = scratch.scores + row * kAttentionBlock;
    const std::int64_t count = place.visible_keys(row);
    const float old_max = scratch.row_max[row];
    const float new_max = count > 0 ? std::max(old_max, max_of_row(scores, count)) : old_max;
    if (new_max > old_max && place.first_key > 0) {
      const float correction = hn::GetLane(exp2_up_to_127(hn::Set(d, old_max - new_max)));
      scratch.row_sum[row] *= correction;
      scale_row(scratch.sums + row * row_stride, row_stride, correction);
    }
    scratch.row_max[row] = new_max;
    scratch.row_sum[row] += exponentiate_row(scores, count, new_max);
  }
}

/// Multiplies the tile's probabilities by their dropout multipliers.
HWY_INLINE void drop_tile(const AttendTask& task, const DropoutMask& mask, const AttendScratch& scratch,
                          const TilePlace& place) {
  const FloatTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t row = 0; row < place.num_queries; ++row) {
    const auto query = static_cast<std::uint64_t>(place.first_query - task.first_position + row);
    const std::uint64_t base = task.dropout_base + query * task.dropout_stride + static_cast<std::uint64_t>(place.first_key);
    const std::int64_t count = place.visible_keys(row);
    mask.fill(base, static_cast<std::size_t>(count), scratch.multipliers);
    float* scores = scratch.scores + row * kAttentionBlock;
    for (std::int64_t i = 0; i < count; i += lanes) {
      hn::Store(hn::Mul(hn::Load(d, scores + i), hn::Load(d, scratch.multipliers + i)), d, scores + i);
    }
  }
}

/// Normalises and writes the finished rows.
HWY_INLINE void write_rows(const AttendTask& task, const AttendScratch& scratch, std::int64_t first_row,
                           std::int64_t num_rows) {
  const FloatTag d;
  const std::int64_t stride = padded_head_size(task.head_size);
  for (std::int64_t row = 0; row < num_rows; ++row) {
    const float sum = scratch.row_sum[row];
    const auto inverse = hn::Set(d, 1.0F / sum);
    const float* sums = scratch.sums + row * stride;
    float* out = task.out.row(first_row + row);
    for_each_vector(static_cast<std::size_t>(task.head_size),
                    [&](std::size_t i, auto part) HWY_ATTR { part.store(hn::Mul(hn::Load(d, sums + i), inverse), out + i); });
    if (task.lse == nullptr) continue;
    const double max = std::numbers::ln2 * static_cast<double>(scratch.row_max[row]);
    task.lse[first_row + row] = static_cast<float>(max + std::log(static_cast<double>(sum)));
  }
}

/// attend() for one set of instructions.
HWY_ATTR void attend_rows(const AttendTask& task, RowPrefetcher next, float* scratch_data) {
  const std::int64_t num_keys = task.first_position + task.end_row;
  const std::int64_t stride = padded_head_size(task.head_size);
  const AttendScratch scratch(scratch_data, num_keys, task.head_size);
  const DropoutMask mask(task.dropout != nullptr ? *task.dropout : Dropout{});
  pack_panels(scratch.key_panels, task.keys, num_keys, task.head_size);
  pack_rows(scratch.values, task.values, 0, num_keys, task.head_size, 1.0F);
  for (std::int64_t first_row = task.begin_row; first_row < task.end_row; first_row += kAttentionBlock) {
    const std::int64_t num_rows = std::min(kAttentionBlock, task.end_row - first_row);
    pack_rows(scratch.queries, task.queries, first_row, first_row + num_rows, task.head_size, query_scale(task.head_size));
    std::fill_n(scratch.row_max, num_rows, -std::numeric_limits<float>::infinity());
    std::fill_n(scratch.row_sum, num_rows, 0.0F);
    const std::int64_t end_key = task.first_position + first_row + num_rows;
    for (std::int64_t key = 0; key < end_key; key += kAttentionBlock) {
      const TilePlace place{task.first_position + first_row, key, num_rows, std::min(kAttentionBlock, end_key - key)};
      multiply_visible(scratch.scores, scratch.queries, scratch.key_panels + key * stride, place, task.head_size);
      softmax_tile(scratch, place, stride, next);
      if (task.dropout != nullptr) drop_tile(task, mask, scratch, place);
      multiply_by_keys(scratch.sums, scratch.scores, scratch.values + key * stride, place, task.head_size, key > 0);
    }
    write_rows(task, scratch, first_row, num_rows);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard
