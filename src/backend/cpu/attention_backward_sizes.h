// What one thread of attention_backward works on, and its scratch. The same for every instruction set.
#pragma once

#include <cstdint>

#include "backend/cpu/attention_sizes.h"

namespace virgil::cpu {

/// Which gradients a pass over the tiles of a head computes. Both at once shares the recomputed probabilities; apart, a head
/// can be divided among threads. The sums have the same order and the same bits either way.
enum class AttentionGradients : std::uint8_t { kAll, kKeysAndValues, kQueries };

/// One head of one sequence, and the blocks of it to compute. T: float or BFloat16.
template <typename T>
struct AttentionBackwardTask {
  HeadRows<const T> queries, keys, values, out, dout;
  HeadRows<T> dqueries, dkeys, dvalues;
  const float* lse;  // (T)
  std::int64_t length;
  std::int64_t head_size;
  AttentionGradients gradients;
  std::int64_t begin_block, end_block;  // of queries for kQueries, else of keys (all of them for kAll)
  const Dropout* dropout;               // null: none
  std::uint64_t dropout_base;           // number of (query 0, key 0)
  std::uint64_t dropout_stride;         // from one query to the next
  bool native_bfloat16;                 // T is BFloat16, and the processor's products of it may be used
};

/// Scratch of one thread, carved from a flat array of count(...) floats. "Rows" are (T, padded head size); panels are blocks of
/// 64 rows, transposed: (blocks, padded head size, 64).
struct AttentionBackwardScratch {
  AttentionBackwardScratch(float* scratch, std::int64_t length, std::int64_t head_size) {
    const auto take = [&](std::int64_t count) {
      float* taken = scratch;
      scratch += count;
      return taken;
    };
    const std::int64_t packed = packed_elements(length, head_size);
    for (float** part : {&key_panels, &value_panels, &keys, &queries, &douts, &dqueries}) *part = take(packed);
    for (float** part : {&dkeys, &dvalues}) *part = take(kAttentionBlock * padded_head_size(head_size));
    for (float** part : {&probabilities, &dscores}) *part = take(kTileElements);
    for (float** part : {&lse, &delta}) *part = take(round_up(length, kAttentionBlock));
    multipliers = take(kAttentionBlock);
  }

  static std::int64_t count(std::int64_t length, std::int64_t head_size) {
    return 6 * packed_elements(length, head_size) + 2 * kAttentionBlock * padded_head_size(head_size) + 2 * kTileElements +
           2 * round_up(length, kAttentionBlock) + kAttentionBlock;
  }
  static std::int64_t packed_elements(std::int64_t rows, std::int64_t head_size) {
    return num_attention_blocks(rows) * kAttentionBlock * padded_head_size(head_size);
  }

  float* key_panels;
  float* value_panels;
  float* keys;           // rows
  float* queries;        // rows, scaled
  float* douts;          // rows
  float* dqueries;       // rows
  float* dkeys;          // (64, padded head size)
  float* dvalues;        // (64, padded head size)
  float* probabilities;  // (64, 64)
  float* dscores;        // (64, 64)
  float* lse;            // (T), in units of ln 2
  float* delta;          // (T), row sums of dout * out
  float* multipliers;    // (64) of dropout
};

}  // namespace virgil::cpu
