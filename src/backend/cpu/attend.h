// One thread's share of a forward pass: some query rows of the heads that share keys and values. What attention_forward and
// attention_decode divide into.
#pragma once

#include <algorithm>
#include <cstdint>

#include "backend/cpu/attention_pair_scratch.h"
#include "backend/cpu/attention_prefetch.h"
#include "backend/cpu/attention_sizes.h"

namespace virgil::cpu {

/// Query rows of a group of heads, and what they attend to. T: float or BFloat16.
template <typename T>
struct AttendTask {
  HeadRows<T> out;                  // of the group's first head; each next one lies head_size elements on, as its queries
  float* lse;                       // of query row 0 of the first head; null: not wanted
  HeadRows<const T> queries;        // of the first head
  HeadRows<const T> keys, values;   // of all heads
  std::int64_t num_heads;           // of the group
  std::int64_t num_rows;            // of a head in lse
  std::int64_t first_position;      // position of query row 0; it sees the keys 0..first_position
  std::int64_t begin_row, end_row;  // query rows to compute; begin_row is a multiple of kAttentionBlock
  std::int64_t head_size;
  AttentionWindow window;
  const Dropout* dropout;        // null: none
  std::uint64_t dropout_base;    // number of (query row 0, key 0) of the first head
  std::uint64_t dropout_stride;  // from one query to the next
  bool native_bfloat16;          // T is BFloat16, and the processor's products of it may be used

  /// Of head `index` of the group alone.
  [[nodiscard]] AttendTask of_head(std::int64_t index) const {
    AttendTask task = *this;
    task.out.data += index * head_size;
    task.queries.data += index * head_size;
    if (lse != nullptr) task.lse += index * num_rows;
    task.dropout_base += static_cast<std::uint64_t>(index * num_rows) * dropout_stride;
    task.num_heads = 1;
    return task;
  }
};

/// Scratch of one thread that computes an AttendTask, carved from a flat array of count(...) floats.
struct AttendScratch {
  AttendScratch(float* scratch, std::int64_t num_keys, std::int64_t head_size)
      : key_panels(scratch),
        values(key_panels + packed_elements(num_keys, head_size)),
        queries(values + packed_elements(num_keys, head_size)),
        sums(queries + kAttentionBlock * padded_head_size(head_size)),
        scores(sums + kAttentionBlock * padded_head_size(head_size)),
        row_max(scores + kTileElements),
        row_sum(row_max + kAttentionBlock),
        multipliers(row_sum + kAttentionBlock) {}

  static std::int64_t count(std::int64_t num_keys, std::int64_t head_size) {
    return 2 * (packed_elements(num_keys, head_size) + kAttentionBlock * padded_head_size(head_size)) + kTileElements +
           3 * kAttentionBlock;
  }
  static std::int64_t packed_elements(std::int64_t rows, std::int64_t head_size) {
    return num_attention_blocks(rows) * kAttentionBlock * padded_head_size(head_size);
  }

  float* key_panels;   // (blocks, padded head size, 64): keys of a block side by side
  float* values;       // (keys, padded head size)
  float* queries;      // (64, padded head size), scaled
  float* sums;         // (64, padded head size), of probabilities times values, not yet normalised
  float* scores;       // (64, 64)
  float* row_max;      // (64)
  float* row_sum;      // (64)
  float* multipliers;  // (64) of dropout
};

/// Floats of scratch that attend() needs for tensors of `dtype`, the same on all processors.
[[nodiscard]] inline std::int64_t attend_scratch_floats(std::int64_t num_keys, std::int64_t head_size, DType dtype) {
  const std::int64_t floats = AttendScratch::count(num_keys, head_size);
  return dtype == DType::kBFloat16 ? std::max(floats, PairAttendScratch::count(num_keys, head_size)) : floats;
}

/// Computes the task's rows with the best instructions of the processor, and fetches those of `next` meanwhile. `scratch` has
/// attend_scratch_floats(first_position + end_row, ...) floats, 64-byte aligned.
template <typename T>
void attend(const AttendTask<T>& task, const RowPrefetcher<T>& next, float* scratch);

}  // namespace virgil::cpu
