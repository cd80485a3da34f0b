// One thread's share of a forward pass: some query rows of one head. What attention_forward and attention_decode divide into.
#pragma once

#include <cstdint>

#include "backend/cpu/attention_prefetch.h"
#include "backend/cpu/attention_sizes.h"

namespace virgil::cpu {

/// Query rows of one head, and what they attend to.
struct AttendTask {
  HeadRows<float> out;
  float* lse;  // of query row 0; null: not wanted
  HeadRows<const float> queries, keys, values;
  std::int64_t first_position;      // position of query row 0; it sees the keys 0..first_position
  std::int64_t begin_row, end_row;  // query rows to compute; begin_row is a multiple of kAttentionBlock
  std::int64_t head_size;
  const Dropout* dropout;        // null: none
  std::uint64_t dropout_base;    // number of (query row 0, key 0)
  std::uint64_t dropout_stride;  // from one query to the next
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

/// Computes the task's rows with the best instructions of the processor, and fetches those of `next` meanwhile. `scratch` has
/// AttendScratch::count(first_position + end_row, head_size) floats, 64-byte aligned.
void attend(const AttendTask& task, const RowPrefetcher& next, float* scratch);

}  // namespace virgil::cpu
