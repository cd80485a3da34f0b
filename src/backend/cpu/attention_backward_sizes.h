// What one thread of attention_backward works on, and its scratch. The same for every instruction set.
#pragma once

#include <cstdint>

#include "backend/cpu/attention_sizes.h"

namespace virgil::cpu {

/// Which gradients a pass over the tiles of a head computes. Both at once shares the recomputed probabilities; apart, a head
/// can be divided among threads. The sums have the same order and the same bits either way.
enum class AttentionGradients : std::uint8_t { kAll, kKeysAndValues, kQueries };

/// The heads of one sequence that share keys and values, and the blocks of them to compute. T: float or BFloat16.
template <typename T>
struct AttentionBackwardTask {
  HeadRows<const T> queries, out, dout;  // of the group's first head; each next one lies head_size elements on
  HeadRows<const T> keys, values;        // of all heads
  HeadRows<T> dqueries;                  // of the first head
  HeadRows<T> dkeys, dvalues;            // sums over all heads
  const float* lse;                      // (num_heads, T)
  std::int64_t num_heads;                // of the group
  std::int64_t length;
  std::int64_t head_size;
  AttentionWindow window;
  AttentionGradients gradients;
  std::int64_t begin_block, end_block;  // of queries for kQueries, else of keys (all of them for kAll)
  const Dropout* dropout;               // null: none
  std::uint64_t dropout_base;           // number of (query 0, key 0) of the first head
  std::uint64_t dropout_stride;         // from one query to the next
  bool native_bfloat16;                 // T is BFloat16, and the processor's products of it may be used

  /// With the queries of head `index` of the group, and what belongs to them.
  [[nodiscard]] AttentionBackwardTask of_head(std::int64_t index) const {
    AttentionBackwardTask task = *this;
    for (HeadRows<const T>* rows : {&task.queries, &task.out, &task.dout}) rows->data += index * head_size;
    task.dqueries.data += index * head_size;
    task.lse += index * length;
    task.dropout_base += static_cast<std::uint64_t>(index * length) * dropout_stride;
    return task;
  }
};

/// Rows of dkeys and of dvalues that a thread sums at a time: of one block, or of all where several heads add to each.
[[nodiscard]] inline std::int64_t summed_key_rows(std::int64_t length, std::int64_t num_heads) {
  return num_heads == 1 ? kAttentionBlock : round_up(length, kAttentionBlock);
}

/// Scratch of one thread, carved from a flat array of count(...) floats. "Rows" are (T, padded head size); panels are blocks of
/// 64 rows, transposed: (blocks, padded head size, 64). `num_heads` share the keys.
struct AttentionBackwardScratch {
  AttentionBackwardScratch(float* scratch, std::int64_t length, std::int64_t head_size, std::int64_t num_heads) {
    const auto take = [&](std::int64_t count) {
      float* taken = scratch;
      scratch += count;
      return taken;
    };
    const std::int64_t packed = packed_elements(length, head_size);
    for (float** part : {&key_panels, &value_panels, &keys, &queries, &douts, &dqueries}) *part = take(packed);
    for (float** part : {&dkeys, &dvalues}) *part = take(summed_key_rows(length, num_heads) * padded_head_size(head_size));
    for (float** part : {&probabilities, &dscores}) *part = take(kTileElements);
    for (float** part : {&lse, &delta}) *part = take(round_up(length, kAttentionBlock));
    multipliers = take(kAttentionBlock);
  }

  static std::int64_t count(std::int64_t length, std::int64_t head_size, std::int64_t num_heads) {
    return 6 * packed_elements(length, head_size) + 2 * summed_key_rows(length, num_heads) * padded_head_size(head_size) +
           2 * kTileElements + 2 * round_up(length, kAttentionBlock) + kAttentionBlock;
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
  float* dkeys;          // (summed_key_rows(), padded head size)
  float* dvalues;        // the same
  float* probabilities;  // (64, 64)
  float* dscores;        // (64, 64)
  float* lse;            // (T), in units of ln 2
  float* delta;          // (T), row sums of dout * out
  float* multipliers;    // (64) of dropout
};

}  // namespace virgil::cpu
