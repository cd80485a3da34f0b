// How attention to a cache is cut into pieces. The same for every instruction set.
#pragma once

#include <cstdint>

#include "backend/cpu/attention_sizes.h"

namespace virgil::cpu {

inline constexpr std::int64_t kMaxHeadSize = 128;
/// Keys of one split: fixed, so that the sums do not depend on the number of threads. A multiple of kAttentionBlock.
inline constexpr std::int64_t kDecodeSplit = 256;
/// From so many new rows on, tiles (as in attention_forward) are faster than row by row.
inline constexpr std::int64_t kDecodeTiledRows = 8;

/// One new row of one head, and a run of keys and values that it attends to. T: float or BFloat16.
template <typename T>
struct DecodeSplit {
  const T* query;   // (head size)
  const T* keys;    // (num_keys, head size)
  const T* values;  // (num_keys, head size)
  std::int64_t num_keys;
  std::int64_t head_size;
};

/// What a split leaves: sums of weighted values, the largest score (in units of ln 2), and the sum of weights.
template <typename Float>
struct BasicDecodePartial {
  BasicDecodePartial(Float* data, std::int64_t head_size) : sums(data), max(data + padded_head_size(head_size)), sum(max + 1) {}
  static std::int64_t count(std::int64_t head_size) { return padded_head_size(head_size) + kRowPad; }
  Float* sums;
  Float* max;
  Float* sum;
};
using DecodePartial = BasicDecodePartial<float>;
using ConstDecodePartial = BasicDecodePartial<const float>;

}  // namespace virgil::cpu
