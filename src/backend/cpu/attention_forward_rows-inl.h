// The order of attention's forward pass over the tiles of some query rows, in the steps of one kind of scratch.
//
// A Highway header, compiled once per target: include it after hwy/highway.h inside a foreach_target source.
#if defined(VIRGIL_ATTENTION_FORWARD_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VIRGIL_ATTENTION_FORWARD_ROWS_INL_H_
#undef VIRGIL_ATTENTION_FORWARD_ROWS_INL_H_
#else
#define VIRGIL_ATTENTION_FORWARD_ROWS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>

#include "backend/cpu/attention_forward-inl.h"
#include "backend/cpu/attention_forward_pairs-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// Normalises and writes the finished rows.
template <typename T, typename Scratch>
HWY_INLINE void write_rows(const AttendTask<T>& task, const Scratch& scratch, std::int64_t first_row, std::int64_t num_rows) {
  const FloatTag d;
  const std::int64_t stride = padded_head_size(task.head_size);
  for (std::int64_t row = 0; row < num_rows; ++row) {
    const float sum = scratch.row_sum[row];
    const auto inverse = hn::Set(d, 1.0F / sum);
    const float* sums = scratch.sums + row * stride;
    T* out = task.out.row(first_row + row);
    for_each_vector(static_cast<std::size_t>(task.head_size),
                    [&](std::size_t i, auto part) HWY_ATTR { part.store(hn::Mul(hn::Load(d, sums + i), inverse), out + i); });
    if (task.lse == nullptr) continue;
    const double max = std::numbers::ln2 * static_cast<double>(scratch.row_max[row]);
    task.lse[first_row + row] = static_cast<float>(max + std::log(static_cast<double>(sum)));
  }
}

/// The rows of one head, whose keys and values are packed.
template <typename Scratch, typename T>
HWY_INLINE void attend_head_rows(const AttendTask<T>& task, const DropoutMask& mask, const Scratch& scratch,
                                 RowPrefetcher<T>& next) {
  for (std::int64_t first_row = task.begin_row; first_row < task.end_row; first_row += kAttentionBlock) {
    const std::int64_t num_rows = std::min(kAttentionBlock, task.end_row - first_row);
    pack_queries(task, scratch, first_row, first_row + num_rows);
    std::fill_n(scratch.row_max, num_rows, -std::numeric_limits<float>::infinity());
    std::fill_n(scratch.row_sum, num_rows, 0.0F);
    const std::int64_t end_key = task.first_position + first_row + num_rows;
    const std::int64_t first_query = task.first_position + first_row;
    const std::int64_t first_key = task.window.first_block(first_query) * kAttentionBlock;
    for (std::int64_t key = first_key; key < end_key; key += kAttentionBlock) {
      const TilePlace place{first_query, key, num_rows, std::min(kAttentionBlock, end_key - key), task.window};
      attend_tile(task, mask, scratch, place, key == first_key, next);
    }
    write_rows(task, scratch, first_row, num_rows);
  }
}

/// attend() for one set of instructions, in the steps of one kind of scratch.
template <typename Scratch, typename T>
HWY_INLINE void attend_rows(const AttendTask<T>& task, RowPrefetcher<T> next, float* scratch_data) {
  const std::int64_t num_keys = task.first_position + task.end_row;
  const Scratch scratch(scratch_data, num_keys, task.head_size);
  const DropoutMask mask(task.dropout != nullptr ? *task.dropout : Dropout{});
  pack_keys_and_values(task, scratch, num_keys);
  for (std::int64_t head = 0; head < task.num_heads; ++head) attend_head_rows(task.of_head(head), mask, scratch, next);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard
