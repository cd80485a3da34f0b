// Scratch of attention in bfloat16 on processors that multiply it, where operands lie in pairs (bfloat16_tile.h).
//
// Queries and the gradient of the output are read where they are. "Panels" are blocks of 64 rows, transposed pair by pair:
// (blocks, padded head size / 2, 64, 2), rows padded to whole vectors. "Row pairs" hold rows 2 r and 2 r + 1 interleaved: (rows
// / 2, padded head size, 2).
#pragma once

#include <cstdint>

#include "backend/cpu/attention_backward_sizes.h"
#include "backend/cpu/attention_sizes.h"
#include "virgil/base/bfloat16.h"

namespace virgil::cpu {

/// Hands out parts of a flat array of floats, or counts them when there is none.
class ScratchCutter {
 public:
  explicit ScratchCutter(float* scratch) : scratch_(scratch) {}
  float* floats(std::int64_t count) {
    float* taken = scratch_ == nullptr ? nullptr : scratch_ + taken_;
    taken_ += round_up(count, kRowPad);
    return taken;
  }
  BFloat16* bfloat16(std::int64_t count) { return reinterpret_cast<BFloat16*>(floats(ceil_div(count, 2))); }
  [[nodiscard]] std::int64_t taken() const { return taken_; }

 private:
  float* scratch_;
  std::int64_t taken_ = 0;
};

/// Elements of one block of panels.
[[nodiscard]] inline std::int64_t pair_panel_elements(std::int64_t head_size) {
  return 2 * kAttentionBlock * padded_head_size(head_size / 2);
}
/// Elements of `rows` rows as row pairs, whole blocks.
[[nodiscard]] inline std::int64_t row_pair_elements(std::int64_t rows, std::int64_t head_size) {
  return num_attention_blocks(rows) * kAttentionBlock * padded_head_size(head_size);
}

/// Scratch of one thread that computes an AttendTask.
struct PairAttendScratch {
  PairAttendScratch(float* scratch, std::int64_t num_keys, std::int64_t head_size) {
    ScratchCutter cutter(scratch);
    key_panels = cutter.bfloat16(num_attention_blocks(num_keys) * pair_panel_elements(head_size));
    values = cutter.bfloat16(row_pair_elements(num_keys, head_size));
    sums = cutter.floats(kAttentionBlock * padded_head_size(head_size));
    scores = cutter.floats(kTileElements);
    probabilities = cutter.bfloat16(kTileElements);
    row_max = cutter.floats(kAttentionBlock);
    row_sum = cutter.floats(kAttentionBlock);
    multipliers = cutter.floats(kAttentionBlock);
    size = cutter.taken();
  }
  static std::int64_t count(std::int64_t num_keys, std::int64_t head_size) {
    return PairAttendScratch(nullptr, num_keys, head_size).size;
  }

  BFloat16* key_panels;
  BFloat16* values;         // row pairs
  float* sums;              // (64, padded head size), of probabilities times values, not yet normalised
  float* scores;            // (64, 64), not scaled
  BFloat16* probabilities;  // (64, 64), dropped
  float* row_max;           // (64), in units of ln 2
  float* row_sum;           // (64)
  float* multipliers;       // (64) of dropout
  std::int64_t size;        // floats
};

/// Scratch of one thread that computes an AttentionBackwardTask, whose keys `num_heads` share.
struct PairBackwardScratch {
  PairBackwardScratch(float* scratch, std::int64_t length, std::int64_t head_size, std::int64_t num_heads) {
    ScratchCutter cutter(scratch);
    const std::int64_t blocks = num_attention_blocks(length);
    for (BFloat16** part : {&key_panels, &value_panels}) *part = cutter.bfloat16(blocks * pair_panel_elements(head_size));
    for (BFloat16** part : {&keys, &queries, &douts}) *part = cutter.bfloat16(row_pair_elements(length, head_size));
    dqueries = cutter.floats(blocks * kAttentionBlock * padded_head_size(head_size));
    for (float** part : {&dkeys, &dvalues}) {
      *part = cutter.floats(summed_key_rows(length, num_heads) * padded_head_size(head_size));
    }
    for (float** part : {&scores, &dprobabilities}) *part = cutter.floats(kTileElements);
    for (BFloat16** part : {&probability_pairs, &dscore_pairs, &dscores}) *part = cutter.bfloat16(kTileElements);
    for (float** part : {&lse, &delta}) *part = cutter.floats(round_up(length, kAttentionBlock));
    multipliers = cutter.floats(2 * kAttentionBlock);
    size = cutter.taken();
  }
  static std::int64_t count(std::int64_t length, std::int64_t head_size, std::int64_t num_heads) {
    return PairBackwardScratch(nullptr, length, head_size, num_heads).size;
  }

  BFloat16* key_panels;
  BFloat16* value_panels;
  BFloat16* keys;               // row pairs
  BFloat16* queries;            // row pairs
  BFloat16* douts;              // row pairs
  float* dqueries;              // (T, padded head size), not yet scaled
  float* dkeys;                 // (summed_key_rows(), padded head size), not yet scaled
  float* dvalues;               // the same
  float* scores;                // (64, 64), not scaled
  float* dprobabilities;        // (64, 64)
  BFloat16* probability_pairs;  // (32, 64, 2): dropped, two queries interleaved
  BFloat16* dscore_pairs;       // (32, 64, 2): likewise
  BFloat16* dscores;            // (64, 64)
  float* lse;                   // (T), in units of ln 2
  float* delta;                 // (T), row sums of dout * out
  float* multipliers;           // (2, 64) of dropout
  std::int64_t size;            // floats
};

}  // namespace virgil::cpu
